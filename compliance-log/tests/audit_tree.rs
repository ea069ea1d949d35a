//! The tree: published vectors, an independent implementation, and the root by its definition.

#![expect(clippy::cast_possible_truncation, reason = "the values are small, or meant to be cut")]

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use compliance_log::audit::tree::{CompactTree, ConsistencyProof, InclusionProof, TreeHash};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use serde_json::Value;
use sha2::Sha256;

fn leaves(count: u64) -> Vec<TreeHash> {
    (0..count).map(|number| TreeHash::leaf(&number.to_be_bytes())).collect()
}

fn root(leaves: &[TreeHash]) -> TreeHash {
    let mut tree = CompactTree::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// The Merkle Tree Hash word for word as RFC 6962 §2.1 defines it.
fn defined_root(leaves: &[TreeHash]) -> TreeHash {
    match leaves {
        [] => TreeHash::empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            TreeHash::node(&defined_root(left), &defined_root(right))
        }
    }
}

#[test]
fn the_root_is_the_one_the_standard_defines() {
    for size in 0..=130 {
        let leaves = leaves(size);
        assert_eq!(root(&leaves), defined_root(&leaves), "{size} leaves");
    }
}

#[test]
fn the_hashes_of_nothing_are_the_known_ones() {
    // SHA-256 of no bytes, and of one zero byte: the empty tree and the empty leaf.
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(TreeHash::empty_root().to_string(), empty);
    let leaf = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(TreeHash::leaf(b"").to_string(), leaf);
}

#[test]
fn a_node_does_not_pass_for_a_leaf() {
    let (left, right) = (TreeHash::leaf(b"left"), TreeHash::leaf(b"right"));
    let inner = [left.as_bytes().as_slice(), right.as_bytes()].concat();
    assert_ne!(TreeHash::leaf(&inner), TreeHash::node(&left, &right));
}

#[test]
fn a_tree_goes_on_from_its_peaks() {
    let leaves = leaves(100);
    for size in 0..=100 {
        let mut first = CompactTree::new();
        leaves[..size].iter().for_each(|leaf| first.push(*leaf));
        let mut second = CompactTree::from_peaks(size as u64, first.peaks().to_vec()).unwrap();
        leaves[size..].iter().for_each(|leaf| second.push(*leaf));
        assert_eq!(second.root(), root(&leaves));
        assert!(
            CompactTree::from_peaks(size as u64 + 1, first.peaks().to_vec())
                .is_none_or(|_| { (size as u64).count_ones() == (size as u64 + 1).count_ones() })
        );
    }
}

#[test]
fn every_leaf_of_small_trees_is_proven_and_no_other() {
    for size in 1..=33 {
        let leaves = leaves(size);
        let root = root(&leaves);
        for index in 0..size {
            let proof = InclusionProof::prove(leaves.iter().copied(), index, size).unwrap();
            let mut before = CompactTree::new();
            for gone in 0..=index {
                let rest = leaves.iter().skip(gone as usize).copied();
                assert_eq!(InclusionProof::prove_after(&before, rest, index, size).as_ref(), Some(&proof));
                before.push(leaves[gone as usize]);
            }
            let rest = leaves.iter().skip(index as usize + 1).copied();
            assert_eq!(InclusionProof::prove_after(&before, rest, index, size), None, "it is gone");
            for (other, leaf) in leaves.iter().enumerate() {
                assert_eq!(proof.verify(leaf, &root).is_ok(), other as u64 == index, "{index} of {size}");
            }
        }
        assert!(InclusionProof::prove(leaves.iter().copied(), size, size).is_none());
        assert!(InclusionProof::prove(leaves.iter().copied(), 0, size + 1).is_none(), "too few leaves");
    }
}

#[test]
fn growth_of_small_trees_is_proven() {
    for new in 0..=33 {
        let leaves = leaves(new);
        for old in 0..=new {
            let proof = ConsistencyProof::prove(leaves.iter().copied(), old, new).unwrap();
            let (old_root, new_root) = (root(&leaves[..old as usize]), root(&leaves));
            assert_eq!(proof.verify(&old_root, &new_root), Ok(()), "{old} to {new}");
            if old > 0 {
                let mut rewritten = leaves.clone();
                rewritten[0] = TreeHash::leaf(b"rewritten");
                assert!(proof.verify(&root(&rewritten[..old as usize]), &new_root).is_err());
                assert!(proof.verify(&old_root, &root(&rewritten)).is_err());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_independent_implementation_agrees(size in 1_usize..400, index in any::<prop::sample::Index>()) {
        let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        (0..size as u64).for_each(|number| oracle.push(number.to_be_bytes().to_vec()));
        let leaves = leaves(size as u64);
        let root_hash = oracle.root();
        prop_assert_eq!(root_hash.as_bytes().to_vec(), root(&leaves).as_bytes().to_vec());

        let index = index.index(size);
        let ours = InclusionProof::prove(leaves.iter().copied(), index as u64, size as u64).unwrap();
        prop_assert_eq!(oracle.prove_inclusion(index).as_bytes().to_vec(), concat(ours.path()));

        let ours = ConsistencyProof::prove(leaves.iter().copied(), index as u64 + 1, size as u64).unwrap();
        let theirs = oracle.prove_consistency(size - index - 1);
        if index + 1 < size {
            prop_assert_eq!(theirs.as_bytes().to_vec(), concat(ours.path()));
        }
    }

    #[test]
    fn a_proof_with_any_bit_flipped_proves_nothing(
        size in 2_u64..300, index in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>(),
    ) {
        let leaves = leaves(size);
        let index = index.index(size as usize);
        let proof = InclusionProof::prove(leaves.iter().copied(), index as u64, size).unwrap();
        let mut path = concat(proof.path());
        let bit = bit.index(path.len() * 8);
        path[bit / 8] ^= 1 << (bit % 8);
        let path = path.chunks_exact(32).map(|hash| TreeHash::from_bytes(hash.try_into().unwrap())).collect();
        let forged = InclusionProof::from_parts(index as u64, size, path);
        prop_assert_eq!(forged.verify(&leaves[index], &root(&leaves)).unwrap_err().code(), "proof.root");
    }
}

fn concat(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// The vectors of transparency-dev/merkle (Apache-2.0), read from the corpus folder.
#[test]
fn published_proofs_are_accepted_and_refused_as_published() {
    let Some(corpus) = std::env::var_os("COMPLIANCE_CORPUS") else {
        println!("skipped: COMPLIANCE_CORPUS is not set");
        return;
    };
    let corpus = PathBuf::from(corpus).join("merkle");
    let inclusion = vectors(&corpus.join("inclusion"), |vector| {
        let path = hashes(&vector["proof"])?;
        let proof =
            InclusionProof::from_parts(vector["leafIdx"].as_u64()?, vector["treeSize"].as_u64()?, path);
        proof.verify(&hash(&vector["leafHash"])?, &hash(&vector["root"])?).ok()
    });
    let consistency = vectors(&corpus.join("consistency"), |vector| {
        let path = hashes(&vector["proof"])?;
        let proof = ConsistencyProof::from_parts(vector["size1"].as_u64()?, vector["size2"].as_u64()?, path);
        proof.verify(&hash(&vector["root1"])?, &hash(&vector["root2"])?).ok()
    });
    println!("{inclusion} inclusion and {consistency} consistency vectors");
    assert!(inclusion > 40 && consistency > 40, "{inclusion} and {consistency}");
}

/// Checks every vector under a folder and says how many there were.
fn vectors(folder: &Path, verify: impl Fn(&Value) -> Option<()> + Copy) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += vectors(&path, verify);
        } else {
            let vector: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let is_error = vector["wantErr"].as_bool().unwrap();
            assert_eq!(verify(&vector).is_none(), is_error, "{}", path.display());
            count += 1;
        }
    }
    count
}

fn hash(value: &Value) -> Option<TreeHash> {
    let bytes = BASE64.decode(value.as_str()?).ok()?;
    Some(TreeHash::from_bytes(bytes.try_into().ok()?))
}

fn hashes(value: &Value) -> Option<Vec<TreeHash>> {
    match value {
        Value::Null => Some(Vec::new()),
        list => list.as_array()?.iter().map(hash).collect(),
    }
}
