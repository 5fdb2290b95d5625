//! Whatever arrives, nothing panics, stalls or is taken for something else; and the borders between reads mean nothing.
//!
//! `crates/smpp/tests/corpus` has what once went wrong or is known to be awkward: each file goes through the functions
//! that the fuzz targets in `fuzz/` run.

use crate::link::{bound, drain, options, pair, request, respond, text};
use proptest::prelude::*;
use smpp::session::{Event, Options, Query, Session};
use smpp::short_message::Address;
use std::fs;
use std::path::Path;

#[path = "../../../../fuzz/targets.rs"]
mod targets;

#[test]
fn the_corpus_is_taken() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut taken = 0;
    for (folder, target) in targets::ALL {
        for file in fs::read_dir(corpus.join(folder)).unwrap() {
            target(&fs::read(file.unwrap().path()).unwrap());
            taken += 1;
        }
    }
    assert!(taken >= 20, "{taken}");
}

/// Octets that a peer may send: whole frames of every kind, in any order, some of them damaged.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let command = prop_oneof![
        Just(1u32),
        Just(2),
        Just(3),
        Just(4),
        Just(5),
        Just(6),
        Just(9),
        Just(0x0B),
        Just(0x15),
        Just(0x21),
        Just(0x102),
        Just(0x103),
        any::<u32>(),
    ];
    let body = prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..120),
        3 => (prop::collection::vec(any::<u8>(), 0..80), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(content, parameters)| {
            let mut body = b"\0\x01\x01316\0\0\x01123\0\x40\0\0\0\0\x01\0\x08\0".to_vec();
            body.push(u8::try_from(content.len()).unwrap());
            body.extend(content);
            body.extend(parameters);
            body
        }),
        1 => Just(b"rookery\0secret\0\0\x34\0\0\0".to_vec()),
    ];
    let frame = (command, any::<bool>(), prop_oneof![Just(0u32), Just(0x58), any::<u32>()], 0u32..8, body);
    let frames = frame.prop_map(|(command, is_answer, status, sequence, body)| {
        if is_answer { respond(command, status, sequence, &body) } else { request(command, sequence, &body) }
    });
    (prop::collection::vec(frames, 0..8), proptest::option::of((any::<prop::sample::Index>(), any::<u8>())))
        .prop_map(|(frames, damage)| {
            let mut octets = frames.concat();
            if let Some((at, octet)) = damage
                && !octets.is_empty()
            {
                let at = at.index(octets.len());
                octets[at] = octet;
            }
            octets
        })
}

/// All that comes out of a session that receives this in these pieces.
fn outcome(mut session: Session<u32>, pieces: &[&[u8]]) -> (Vec<Event<u32>>, Vec<u8>) {
    for token in 0..3 {
        let _ = session.submit(token, &text("Hello"), 0);
        let _ = session.deliver(token, &text("Hello"), 0);
    }
    session.written(session.output().len());
    for piece in pieces {
        session.received(piece, 1);
    }
    let events = drain(&mut session);
    (events, session.output().to_vec())
}

/// Events without handles, which no two sessions share.
fn shown(events: &[Event<u32>]) -> Vec<String> {
    let all = events.iter().map(|event| match event {
        Event::Received { arrival, message, .. } => format!("{arrival:?} {message:?} {:?}", message.octets),
        Event::QueryRequested { query, .. } => format!("{query:?}"),
        other => format!("{other:?}"),
    });
    all.collect()
}

proptest! {
    #[test]
    fn octets_may_come_in_any_pieces(octets in conversation(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6), role in 0u8..3) {
        let session = || match role {
            0 => bound(),
            1 => pair(Options { takes_queries: true, ..options() }).1,
            _ => Session::smsc(options(), 0),
        };
        let whole = outcome(session(), &[&octets]);
        let mut borders: Vec<usize> = cuts.iter().map(|cut| cut.index(octets.len() + 1)).collect();
        borders.extend([0, octets.len()]);
        borders.sort_unstable();
        let pieces: Vec<&[u8]> = borders.windows(2).map(|pair| &octets[pair[0]..pair[1]]).collect();
        let split = outcome(session(), &pieces);
        prop_assert_eq!(shown(&split.0), shown(&whole.0));
        prop_assert_eq!(&split.1, &whole.1);
        let single: Vec<&[u8]> = octets.chunks(1).collect();
        let single = outcome(session(), &single);
        prop_assert_eq!(shown(&single.0), shown(&whole.0));
        prop_assert_eq!(&single.1, &whole.1);
    }

    #[test]
    fn frames_never_end_a_bind_but_by_unbind_or_length(octets in conversation()) {
        let (events, _) = outcome(bound(), &[&octets]);
        for event in events {
            if let Event::Ended { reason, .. } = event {
                prop_assert!(matches!(reason, smpp::session::End::UnboundByPeer | smpp::session::End::Framing { .. }), "{:?}", reason);
            }
        }
    }

    #[test]
    fn no_token_is_lost_or_told_twice(octets in conversation(), late in any::<bool>()) {
        let mut session = bound();
        for token in 0..5 {
            session.submit(token, &text("Hello"), 0).unwrap();
        }
        let query = Query { id: "a1".into(), source: Address::alphanumeric("Rookery") };
        for token in 5..8 {
            session.query(token, &query, 0).unwrap();
        }
        if late {
            session.tick(11_000_000);
        }
        session.received(&octets, 12_000_000);
        session.closed();
        let mut told = Vec::new();
        for event in drain(&mut session) {
            match event {
                Event::Answered { token, is_late: false, .. } | Event::Overdue { token } => {
                    prop_assert!(token < 5);
                    told.push(token);
                }
                Event::Queried { token, .. } => {
                    prop_assert!(token >= 5);
                    told.push(token);
                }
                Event::Answered { token, .. } => prop_assert!(told.contains(&token)),
                Event::Ended { in_doubt, .. } => told.extend(in_doubt),
                _ => {}
            }
        }
        told.sort_unstable();
        prop_assert_eq!(told, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn every_target_takes_anything(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        for (_, target) in targets::ALL {
            target(&octets);
        }
    }

    #[test]
    fn every_target_takes_conversations(octets in conversation(), first in 0u8..4) {
        for (_, target) in targets::ALL {
            target(&[&[first], octets.as_slice()].concat());
        }
    }
}
