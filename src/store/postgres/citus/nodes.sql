-- How many workers the coordinator knows that take shards.
SELECT count(*) AS workers FROM pg_dist_node AS n WHERE n.isactive AND n.shouldhaveshards AND n.noderole = 'primary'
