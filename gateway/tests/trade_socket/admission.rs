//! Who is let in, for how long.

use gateway::clock::Clock;
use serde_json::json;

use crate::member::{BUYER, Member, NAMESPACE, PATH, SELLER, make_room, query};
use crate::support::Node;

pub(crate) fn who_is_let_in(io: &str) {
    let node = Node::start_on(io, "presence_api.failed_auth_limit = 100000");
    let (token, service) = (node.token(BUYER), node.service_token());
    let expired = node.token(BUYER);
    let as_seller = node.short_token(BUYER, 3_600, Some("SELLER"));
    for version in [3, 4] {
        let refused = match version {
            3 => format!("44{NAMESPACE},\"Authentication Error\""),
            _ => format!("44{NAMESPACE},{{\"message\":\"Authentication Error\"}}"),
        };
        for (token, user, role) in [
            ("", BUYER, "BUYER"),
            ("nonsense", BUYER, "BUYER"),
            (&token, SELLER, "SELLER"),
            (&token, BUYER, "buyer"),
            (&token, BUYER, ""),
            (&token, BUYER, "ADMIN"),
            (&as_seller, BUYER, "BUYER"),
            (&service, "service", "BUYER"),
        ] {
            let mut member = Member::dial(&node, version, &query(token, user, role));
            member.ask_to_join(token, user, role);
            assert_eq!(member.frame(), refused, "{user} {role}");
            // It may try again on the same connection.
            member.ask_to_join(&node.token(BUYER), BUYER, "SELLER");
            assert!(member.frame().starts_with(&format!("40{NAMESPACE},")));
        }
        Member::joined_with(&node, version, &as_seller, BUYER, "SELLER").0.leave();
        // A namespace that there is not.
        let mut member = Member::dial(&node, version, "x=1");
        member.say("40/v1/other,");
        assert!(member.frame().starts_with("44/v1/other,"));
    }
    // New clients may say who they are in the URL, and nothing in the payload.
    let mut member = Member::dial(&node, 4, &query(&token, BUYER, "BUYER"));
    member.say(&format!("40{NAMESPACE},"));
    assert!(member.frame().starts_with(&format!("40{NAMESPACE},")));
    assert_eq!(member.event("active_user_list"), json!({"user_id": "42", "user_role": "BUYER", "rooms": []}));
    // On WebSockets only, and with a version.
    for (asked, code, message) in [
        ("EIO=3&transport=polling", 0, "Transport unknown"),
        ("EIO=4&transport=polling", 0, "Transport unknown"),
        ("EIO=4&transport=websocket", 3, "Bad request"),
    ] {
        for slash in ["", "/"] {
            let answer = node.call("GET", &format!("{PATH}{slash}?{asked}"), &[], "");
            assert_eq!((answer.status, answer.json()), (400, json!({"code": code, "message": message})));
        }
    }
    node.clock.advance(3_700_000);
    let mut member = Member::dial(&node, 3, &query(&expired, BUYER, "BUYER"));
    member.ask_to_join(&expired, BUYER, "BUYER");
    assert_eq!(member.frame(), format!("44{NAMESPACE},\"Authentication Error\""));
}

pub(crate) fn tokens_end_and_are_renewed(io: &str) {
    let node = Node::start_on(io, "auth.leeway = \"0s\"");
    make_room(&node);
    for version in [3, 4] {
        // The front door's clock stands still; the shards' does not.
        node.clock.advance(Clock::system().unix_ms() - node.clock.unix_ms());
        let short = node.short_token(BUYER, 3, None);
        let (mut left_alone, _) = Member::joined_with(&node, version, &short, BUYER, "BUYER");
        let (mut renewed, _) = Member::joined_with(&node, version, &short, BUYER, "BUYER");
        left_alone.event("active_user_list");
        let verify = |token: &str, user: &str| json!({"token": token, "user_id": user, "user_role": "BUYER"});
        renewed.emit("verify_user", &verify(&node.token(BUYER), BUYER));
        renewed.hears("verify_user", &json!({"status": true}));
        left_alone.is_sent_away();
        // On the connection that is still there, the handshake's token opens nothing any more.
        let refused = match version {
            3 => format!("44{NAMESPACE},\"Authentication Error\""),
            _ => format!("44{NAMESPACE},{{\"message\":\"Authentication Error\"}}"),
        };
        left_alone.ask_to_join(&short, BUYER, "BUYER");
        assert_eq!(left_alone.frame(), refused);
        // The other one lives on.
        let said = renewed.speaks(BUYER, SELLER, "still here");
        assert_eq!(said["from"], BUYER);

        // A bad token, none, or somebody else's ends it.
        for body in [
            verify("nonsense", BUYER),
            json!({"user_id": "42", "user_role": "BUYER"}),
            verify(&node.token(SELLER), BUYER),
            verify(&node.token(BUYER), SELLER),
        ] {
            let mut member = Member::joined(&node, version, BUYER, "BUYER");
            member.emit("verify_user", &body);
            member.hears("verify_user", &json!({"status": false}));
            member.is_sent_away();
            // Its connection is there, and may join again.
            member.ask_to_join(&node.token(BUYER), BUYER, "BUYER");
            assert!(member.frame().starts_with(&format!("40{NAMESPACE},")));
            member.event("active_user_list");
        }
        let mut member = Member::joined(&node, version, BUYER, "BUYER");
        assert_eq!(member.ask("verify_user", &verify(&node.token(BUYER), BUYER)), json!({"status": true}));
        member.hears("verify_user", &json!({"status": true}));
    }
}
