// SPDX-License-Identifier: MIT OR Apache-2.0
//! `BlockSet` against the plainest model of it: a set of numbers.

use std::collections::BTreeSet;
use std::ops::Range;

use proptest::prelude::*;
use slam_client::{BlockIndex, BlockSet};

#[derive(Clone, Debug)]
enum Op {
    Insert(u64),
    InsertRun(Range<u64>),
    RemoveRun(Range<u64>),
    Union(Vec<Range<u64>>),
    Subtract(Vec<Range<u64>>),
}

fn run() -> impl Strategy<Value = Range<u64>> {
    // Reversed ranges too: they are empty.
    (0_u64..200, 0_u64..30, 0_u64..2)
        .prop_map(|(start, len, back)| start..(start + len).saturating_sub(back * 40))
}

fn op() -> impl Strategy<Value = Op> {
    let runs = || proptest::collection::vec(run(), 0..6);
    prop_oneof![
        3 => (0_u64..220).prop_map(Op::Insert),
        3 => run().prop_map(Op::InsertRun),
        3 => run().prop_map(Op::RemoveRun),
        1 => runs().prop_map(Op::Union),
        1 => runs().prop_map(Op::Subtract),
    ]
}

fn runs_of(model: &BTreeSet<u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for &block in model {
        match runs.last_mut() {
            Some(run) if run.end == block => run.end += 1,
            _ => runs.push(block..block + 1),
        }
    }
    runs
}

fn grown(model: &mut BTreeSet<u64>, run: Range<u64>) -> u64 {
    let before = model.len();
    model.extend(run);
    (model.len() - before) as u64
}

fn shrunk(model: &mut BTreeSet<u64>, run: &Range<u64>) -> u64 {
    let before = model.len();
    model.retain(|block| !run.contains(block));
    (before - model.len()) as u64
}

proptest! {
    #[test]
    fn agrees_with_the_model(ops in proptest::collection::vec(op(), 0..60), probe in 0_u64..240) {
        let mut set = BlockSet::new();
        let mut model = BTreeSet::new();
        for op in ops {
            match op {
                Op::Insert(block) => {
                    prop_assert_eq!(set.insert(BlockIndex(block)), model.insert(block));
                }
                Op::InsertRun(run) => {
                    prop_assert_eq!(set.insert_run(run.clone()), grown(&mut model, run));
                }
                Op::RemoveRun(run) => {
                    prop_assert_eq!(set.remove_run(run.clone()), shrunk(&mut model, &run));
                }
                Op::Union(runs) => {
                    set.union_with(&runs.iter().cloned().collect());
                    model.extend(runs.into_iter().flatten());
                }
                Op::Subtract(runs) => {
                    set.subtract(&runs.iter().cloned().collect());
                    for run in runs {
                        shrunk(&mut model, &run);
                    }
                }
            }
            let runs = runs_of(&model);
            prop_assert_eq!(set.runs().collect::<Vec<_>>(), &runs[..]);
            prop_assert_eq!(set.run_count(), runs.len());
            prop_assert_eq!(set.len(), model.len() as u64);
            prop_assert_eq!(set.is_empty(), model.is_empty());
        }
        prop_assert_eq!(set.contains(BlockIndex(probe)), model.contains(&probe));
        let first_gap = (0..300).find(|block| !model.contains(block)).unwrap();
        prop_assert_eq!(set.first_gap(), BlockIndex(first_gap));
        let next = runs_of(&model)
            .into_iter()
            .find(|run| run.end > probe)
            .map(|run| run.start.max(probe)..run.end);
        prop_assert_eq!(set.run_from(BlockIndex(probe)), next);
        let missing: BTreeSet<u64> = (0..probe).filter(|block| !model.contains(block)).collect();
        prop_assert_eq!(set.gaps(probe).collect::<Vec<_>>(), runs_of(&missing));
        // Two ways to the same set are equal: runs are canonical.
        let single: BlockSet = model.iter().rev().map(|&block| block..block + 1).collect();
        prop_assert_eq!(single, set);
    }
}
