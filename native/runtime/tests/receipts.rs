//! What a receipt says is in the node's status by then: whoever has one looks there next.

mod support;

use std::path::Path;
use std::sync::Arc;
use support::{config, submission, GROUP};
use vexfs_core::machine::MachineLimits;
use vexfs_runtime::node::Node;

/// Of the records that the node has told its application, whether one ends this request (docs/formats.md, "Packed ends").
fn ends(told: &[u8], request: u32) -> bool {
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let mut rest = told;
    while !rest.is_empty() {
        let (record, others) = rest.split_at(word(rest) as usize);
        if word(&record[8..]) == request {
            return true;
        }
        rest = others;
    }
    false
}

/// A member alone, that leads and writes.
fn alone(dir: &Path) -> Arc<Node> {
    let mut config = config(dir, "a", 100_000, MachineLimits::default());
    config.member.founders.truncate(1);
    config.peers.clear();
    let node = Node::open(config).unwrap();
    let leads = || node.shared().groups[&GROUP].status.lock().leader.is_some();
    while !leads() || node.shared().lane.read().actor.is_empty() {
        std::thread::yield_now();
    }
    node
}

fn wait(node: &Node, request: u32) {
    while !ends(&node.shared().app.take(), request) {
        std::hint::spin_loop();
    }
}

#[test]
fn the_status_holds_what_a_receipt_says() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path());
    for request in 1..=2_000 {
        node.submit(request, &submission("a", u128::from(request), 100), 1).unwrap();
        wait(&node, request);
        assert_eq!(node.shared().groups[&GROUP].status.lock().events, u64::from(request));
    }
    node.close();
}

#[test]
fn so_does_that_of_the_causal_lane() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path());
    for request in 1..=500 {
        let mut bytes = submission("a", u128::from(request), 100);
        // At level causal.
        bytes[2] = 1;
        node.publish(request, &bytes).unwrap();
        wait(&node, request);
        let told = node.shared().lane_status.lock().origins.iter().map(|(_, delivered, held, known)| (*delivered, *held, *known)).collect::<Vec<_>>();
        let count = u64::from(request);
        assert_eq!(told, [(count, count, count)]);
    }
    node.close();
}
