//! Each target over its corpus, and over small changes to it, on any Rust.

use std::path::Path;
use vestibule_fuzz::TARGETS;

/// Changes to each file of the corpus.
const MUTANTS: u64 = 200;

#[test]
fn the_corpus_holds() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut files: Vec<_> = folder.read_dir().expect("a corpus").map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no corpus");
        for (number, file) in files.iter().enumerate() {
            let data = std::fs::read(file).unwrap();
            eprintln!("{name}: {}", file.display());
            target(&data);
            for seed in 0..MUTANTS {
                let mutant = mutate(&data, seed << 32 | number as u64);
                let result = std::panic::catch_unwind(|| target(&mutant));
                assert!(result.is_ok(), "{name} fails on {:?}", mutant.escape_ascii().to_string());
            }
        }
    }
}

fn mutate(data: &[u8], seed: u64) -> Vec<u8> {
    const USEFUL: &[u8] = b"\r\n :;,/%.\\?#0159afAF\t\0\x7f\x80";
    let mut random = fastrand::Rng::with_seed(seed);
    let mut data = data.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=data.len());
        let byte = if random.bool() { USEFUL[random.usize(..USEFUL.len())] } else { random.u8(..) };
        match random.u8(..4) {
            0 => data.insert(at, byte),
            1 if at < data.len() => data[at] = byte,
            2 if at < data.len() => drop(data.remove(at)),
            _ => {
                let end = random.usize(at..=data.len()).min(at + 16);
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
        }
    }
    data
}
