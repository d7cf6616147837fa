//! deploy/: what is there is whole, names options that scrip has, and is as careful as it says.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::say_not_run;
use yaml_rust2::{Yaml, YamlLoader};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// Every file below deploy, but what its user made there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !folder.ends_with("secrets") || path.ends_with("kustomization.yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn documents(path: &Path) -> Vec<Yaml> {
    let text = std::fs::read_to_string(path).unwrap();
    YamlLoader::load_from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Runs a program where it is there; what it printed.
fn output_of(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    if support::postgres::on_path(program).is_none() {
        say_not_run(&format!("{program} is not on the PATH"));
        return None;
    }
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some((output.status.success(), text))
}

/// The names of environment variables in a text, such as `SCRIP_LISTEN`.
fn variables(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !is_name(c));
    words.filter(|word| word.starts_with("SCRIP_") && word.len() > 6).map(str::to_owned).collect()
}

#[test]
fn every_yaml_file_is_yaml() {
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    let yaml: Vec<PathBuf> = files(&root()).into_iter().filter(is_yaml).collect();
    assert!(yaml.len() > 10, "they are where the test looks: {yaml:?}");
    for path in yaml {
        let documents = documents(&path);
        assert!(
            !documents.is_empty() && documents.iter().all(|one| one.as_hash().is_some()),
            "{}",
            path.display()
        );
    }
}

#[test]
fn every_variable_that_is_set_is_one_that_scrip_reads() {
    // Of the Dockerfile's user, not of scrip.
    let mut known: BTreeSet<String> =
        ["SCRIP_USER", "SCRIP_DATABASE_URL", "SCRIP_KEK"].map(str::to_owned).into();
    for command in ["serve", "health", "migrate", "tokens"] {
        let help = Command::new(env!("CARGO_BIN_EXE_scrip")).args([command, "--help"]).output().unwrap();
        known.extend(variables(&String::from_utf8(help.stdout).unwrap()));
    }
    assert!(known.contains("SCRIP_ADMIN_LISTEN"), "the help tells them: {known:?}");
    let mut seen = 0;
    for path in files(&root()) {
        for name in variables(&std::fs::read_to_string(&path).unwrap()) {
            assert!(known.contains(&name), "{}: {name} is no option", path.display());
            seen += 1;
        }
    }
    assert!(seen > 10);
}

#[test]
fn compose_pins_its_images_and_publishes_to_this_machine_alone() {
    let compose = documents(&root().join("compose.yaml")).remove(0);
    let services = compose["services"].as_hash().unwrap();
    assert_eq!(services.len(), 7);
    for (name, service) in services {
        for port in service["ports"].as_vec().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name:?}: {port:?}");
        }
        let Some(image) = service["image"].as_str() else { continue };
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        assert!(image == "scrip" || tag.is_some_and(|tag| tag != "latest"), "{image}");
    }
}

#[test]
fn compose_sends_its_telemetry_in_the_way_that_the_collector_takes_it() {
    let compose = documents(&root().join("compose.yaml")).remove(0);
    let collector = documents(&root().join("compose/collector.yaml")).remove(0);
    let told = &compose["x-scrip"]["environment"];
    let endpoint = told["SCRIP_OTLP_ENDPOINT"].as_str().unwrap();
    let protocol = told["SCRIP_OTLP_PROTOCOL"].as_str().unwrap_or("http");
    let taken = collector["receivers"]["otlp"]["protocols"][protocol]["endpoint"].as_str();
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    assert_eq!(taken.map(port), Some(port(endpoint)), "{protocol} to {endpoint}");
}

#[test]
fn the_image_is_built_from_what_is_there_and_runs_as_nobody_in_particular() {
    let text = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let copied =
        text.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from"));
    for source in
        copied.flat_map(|line| line.split_whitespace().collect::<Vec<_>>().split_last().unwrap().1.to_vec())
    {
        assert!(root().join("..").join(source).exists(), "{source}");
    }
    let last = text.rsplit("\nFROM ").next().unwrap();
    assert!(last.contains("\nUSER 65532:65532\n") && last.contains("\nHEALTHCHECK "), "{last}");
}

#[test]
fn secrets_from_files_have_the_names_that_the_pods_look_for() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (root().join("kubernetes"), folder.path().join("kubernetes"));
    for path in files(&from) {
        let copy = to.join(path.strip_prefix(&from).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(&path, &copy).unwrap();
    }
    let overlay = to.join("overlays/example");
    let put = |name: &str, text: &str| std::fs::write(overlay.join(name), text).unwrap();
    put("secrets/database.env", "url=postgres://a@h/scrip\nowner-url=postgres://b@h/scrip\n");
    for name in ["kek", "tls.crt", "tls.key"] {
        put(&format!("secrets/{name}"), name);
    }
    let text = std::fs::read_to_string(overlay.join("kustomization.yaml")).unwrap();
    put("kustomization.yaml", &text.replace("#   components: [secrets]", "components: [secrets]"));
    let Some((ok, text)) = output_of("kubectl", &["kustomize", overlay.to_str().unwrap()]) else { return };
    assert!(ok, "{text}");
    let objects = YamlLoader::load_from_str(&text).unwrap();
    let secrets = objects.iter().filter(|object| object["kind"].as_str() == Some("Secret"));
    let names: BTreeSet<&str> = secrets.map(|secret| secret["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let mut named = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        // Of volumes, and of variables' `secretKeyRef`.
        let reference =
            line.strip_prefix("secretName: ").or_else(|| line.strip_prefix("name: scrip-database"));
        if let Some(rest) = reference {
            let name = if line.starts_with("secretName") {
                rest.to_owned()
            } else {
                format!("scrip-database{rest}")
            };
            assert!(names.contains(&*name), "{name} is none of {names:?}");
            named.insert(name);
        }
    }
    assert_eq!(named.len(), 3, "{named:?}");
}

#[test]
fn kustomize_makes_manifests_of_pods_that_may_do_nothing_but_serve() {
    let overlay = root().join("kubernetes/overlays/example");
    let Some((ok, text)) = output_of("kubectl", &["kustomize", overlay.to_str().unwrap()]) else { return };
    assert!(ok, "{text}");
    let objects = YamlLoader::load_from_str(&text).unwrap();
    let kinds: BTreeSet<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    let expected = [
        "Deployment",
        "HorizontalPodAutoscaler",
        "Job",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    ];
    assert_eq!(kinds, BTreeSet::from(expected));
    for object in
        objects.iter().filter(|object| matches!(object["kind"].as_str(), Some("Deployment" | "Job")))
    {
        let pod = &object["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"].as_bool(), Some(true), "{object:?}");
        assert_eq!(pod["automountServiceAccountToken"].as_bool(), Some(false));
        for container in pod["containers"].as_vec().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"].as_bool(), Some(true));
            assert_eq!(context["allowPrivilegeEscalation"].as_bool(), Some(false));
            assert_eq!(context["capabilities"]["drop"][0].as_str(), Some("ALL"));
            assert!(container["resources"]["limits"]["memory"].as_str().is_some());
            assert!(container["image"].as_str().unwrap().contains(':'), "a version, not the latest");
        }
    }
}

#[test]
fn systemd_finds_little_that_the_unit_leaves_open() {
    let unit = root().join("systemd/scrip.service");
    // Its threshold is in tenths: 2.0.
    let arguments = ["security", "--offline=true", "--no-pager", "--threshold=20", unit.to_str().unwrap()];
    let Some((ok, text)) = output_of("systemd-analyze", &arguments) else { return };
    assert!(ok, "{text}");
}
