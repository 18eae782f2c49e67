//! What a receipt says is in the node's status by then: whoever has one looks there next.

mod support;

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

#[test]
fn the_status_holds_what_a_receipt_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), "a", 100_000, MachineLimits::default());
    config.member.founders.truncate(1);
    config.peers.clear();
    let node = Node::open(config).unwrap();
    let status = || node.shared().groups[&GROUP].status.lock().clone();
    while status().leader.is_none() {
        std::thread::yield_now();
    }
    for request in 1..=2_000 {
        node.submit(request, &submission("a", u128::from(request), 100), 1).unwrap();
        while !ends(&node.shared().app.take(), request) {
            std::hint::spin_loop();
        }
        assert_eq!(status().events, u64::from(request));
    }
    node.close();
}
