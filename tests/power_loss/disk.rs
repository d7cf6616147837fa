//! A disk, rebuilt from the shim's log: what is safe on it, and what it was asked for and has not promised yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::chance::Chance;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// One record of the log.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Where it begins in the log.
    pub(crate) at: u64,
    pub(crate) kind: u8,
    name: String,
    offset: u64,
    pub(crate) data: Vec<u8>,
}

/// Takes the log apart.
pub(crate) fn records(log: &[u8]) -> Vec<Record> {
    let mut found = Vec::new();
    let mut rest = log;
    while !rest.is_empty() {
        let at = (log.len() - rest.len()) as u64;
        let (head, tail) = rest.split_at(16);
        let name_length = usize::from(head[1]);
        let data_length = u32::from_ne_bytes(head[4..8].try_into().unwrap()) as usize;
        let offset = u64::from_ne_bytes(head[8..16].try_into().unwrap());
        let name = String::from_utf8(tail[..name_length].to_vec()).unwrap();
        let data = tail[name_length..name_length + data_length].to_vec();
        found.push(Record { at, kind: head[0], name, offset, data });
        rest = &tail[name_length + data_length..];
    }
    found
}

/// A record of the driver's own, as bytes.
pub(crate) fn acknowledgement(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    let mut record = vec![b'A', 0, 0, 0];
    record.extend(length.to_ne_bytes());
    record.extend(0_u64.to_ne_bytes());
    record.extend(text.as_bytes());
    record
}

/// A file's contents; its name is the directory's.
type Inode = usize;

#[derive(Clone, Debug)]
enum Op {
    Write(Inode, u64, Vec<u8>),
    Resize(Inode, u64),
    Link(String, Inode),
    Unlink(String),
}

impl Op {
    const fn inode(&self) -> Option<Inode> {
        match self {
            Op::Write(inode, ..) | Op::Resize(inode, _) => Some(*inode),
            Op::Link(..) | Op::Unlink(_) => None,
        }
    }
}

/// Files and their names.
#[derive(Clone, Debug, Default)]
struct Contents {
    inodes: Vec<Vec<u8>>,
    names: BTreeMap<String, Inode>,
}

impl Contents {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Write(inode, offset, data) => self.write(*inode, *offset, data),
            Op::Resize(inode, length) => self.inodes[*inode].resize(usize::try_from(*length).unwrap(), 0),
            Op::Link(name, inode) => {
                self.names.insert(name.clone(), *inode);
            }
            Op::Unlink(name) => {
                self.names.remove(name);
            }
        }
    }

    fn write(&mut self, inode: Inode, offset: u64, data: &[u8]) {
        let file = &mut self.inodes[inode];
        let offset = usize::try_from(offset).unwrap();
        let end = offset + data.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[offset..end].copy_from_slice(data);
    }
}

/// What a disk had to promise, and what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Honesty {
    /// What was synced is there.
    Honest,
    /// Its syncs answer and do nothing.
    Lying,
}

/// A disk at one moment of the log.
pub(crate) struct Disk {
    honesty: Honesty,
    safe: Contents,
    /// As the program sees the directory.
    seen: BTreeMap<String, Inode>,
    /// Asked for and not promised, with where the log says so.
    pending: Vec<(u64, Op)>,
}

impl Disk {
    pub(crate) fn new(honesty: Honesty) -> Self {
        Self { honesty, safe: Contents::default(), seen: BTreeMap::new(), pending: Vec::new() }
    }

    pub(crate) fn step(&mut self, record: &Record) {
        let Record { at, kind, name, offset, data } = record;
        let mut ask = |op| self.pending.push((*at, op));
        match kind {
            b'W' => ask(Op::Write(self.seen[name], *offset, data.clone())),
            b'T' => ask(Op::Resize(self.seen[name], *offset)),
            b'C' => {
                let inode = self.safe.inodes.len();
                self.safe.inodes.push(Vec::new());
                self.seen.insert(name.clone(), inode);
                ask(Op::Link(name.clone(), inode));
            }
            b'U' => {
                self.seen.remove(name);
                ask(Op::Unlink(name.clone()));
            }
            b'R' => {
                let to = String::from_utf8(data.clone()).unwrap();
                let inode = self.seen.remove(name).unwrap();
                self.seen.insert(to.clone(), inode);
                ask(Op::Link(to, inode));
                ask(Op::Unlink(name.clone()));
            }
            b'F' => self.sync(*offset, Some(self.seen[name])),
            b'D' => self.sync(*offset, None),
            b'A' => {}
            other => panic!("what is a record {:?}?", char::from(*other)),
        }
    }

    fn sync(&mut self, before: u64, inode: Option<Inode>) {
        if self.honesty == Honesty::Lying {
            return;
        }
        let safe = &mut self.safe;
        self.pending.retain(|(at, op)| {
            let is_promised = op.inode() == inode && *at < before;
            if is_promised {
                safe.apply(op);
            }
            !is_promised
        });
    }

    /// The files as the power leaves them: all that was promised, and of the rest what chance has kept.
    pub(crate) fn image(&self, chance: &mut Chance) -> BTreeMap<String, Vec<u8>> {
        let mut left = self.safe.clone();
        let way = chance.below(8);
        // How many of them came to be written before the power failed, where they are written in order.
        let in_order = chance.below(self.pending.len() + 1);
        for (index, (_, op)) in self.pending.iter().enumerate() {
            let is_kept = match way {
                0 => false,
                1 => true,
                2 => index < in_order,
                _ => chance.below(2) == 0,
            };
            match op {
                // Torn, in any order of its sectors.
                Op::Write(inode, offset, data) if way >= 5 => {
                    for (at, sector) in sectors(*offset, data) {
                        if chance.below(2) == 0 {
                            left.write(*inode, at, sector);
                        }
                    }
                }
                op if is_kept => left.apply(op),
                _ => {}
            }
        }
        let Contents { inodes, names } = left;
        names.into_iter().map(|(name, inode)| (name, inodes[inode].clone())).collect()
    }
}

/// Parts a write at the bounds of the disk's sectors.
fn sectors(offset: u64, data: &[u8]) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    let (mut at, mut rest) = (offset, data);
    while !rest.is_empty() {
        let to_bound = SECTOR - usize::try_from(at).unwrap() % SECTOR;
        let (sector, later) = rest.split_at(to_bound.min(rest.len()));
        found.push((at, sector));
        (at, rest) = (at + sector.len() as u64, later);
    }
    found
}

/// Where in the list of records the power may fail: before and after each sync answers.
pub(crate) fn boundaries(records: &[Record]) -> Vec<usize> {
    let syncs = records.iter().enumerate().filter(|(_, record)| matches!(record.kind, b'F' | b'D'));
    let found: BTreeSet<usize> = syncs.flat_map(|(index, _)| [index, index + 1]).collect();
    found.into_iter().collect()
}
