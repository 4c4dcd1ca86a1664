//! The same conversations for back ends.

use serde_json::{Value, json};

use crate::people::{ANN, BOB, Person, text};
use crate::support::{Answer, Node};

struct Service<'a> {
    node: &'a Node,
    bearer: String,
}

impl Service<'_> {
    fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.node.call(method, &format!("/server/v1{path}"), &[("Authorization", &self.bearer)], &body)
    }

    #[track_caller]
    fn does(&self, method: &str, path: &str, body: &Value, status: u16) -> Value {
        let answer = self.call(method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        answer.json()
    }

    #[track_caller]
    fn refused(&self, method: &str, path: &str, body: &Value, status: u16, code: &str) {
        let body = self.does(method, path, body, status);
        assert_eq!(body["error"]["code"], code, "{method} {path}: {body}");
    }
}

pub(crate) fn back_ends_act_for_users(io: &str) {
    let node = Node::start_on(io, "");
    let service = Service { node: &node, bearer: format!("Bearer {}", node.service_token()) };
    let ann = Person::new(&node, ANN);
    let none = Value::Null;

    let new = json!({
        "kind": "group", "name": "Order 7", "key": "order-7", "extra": {"order": 7},
        "members": [{"userId": ANN}, {"userId": BOB}],
    });
    let made = service.does("POST", &format!("/conversations?as={ANN}"), &new, 201);
    let id = text(&made["id"]);
    assert_eq!(
        (&made["kind"], &made["name"], &made["creator"], &made["extra"], &made["membersCount"]),
        (&json!("group"), &json!("Order 7"), &json!(ANN), &json!({"order": 7}), &json!(2))
    );
    assert_eq!(service.does("POST", &format!("/conversations?as={ANN}"), &new, 200)["id"], id.as_str());
    assert_eq!(
        service.does("GET", &format!("/conversations/{id}"), &none, 200)["extra"],
        json!({"order": 7})
    );
    let bob = service.does("GET", &format!("/conversations/{id}?as={BOB}"), &none, 200);
    assert_eq!(bob["members"].as_array().map(Vec::len), Some(2));
    service.refused("GET", &format!("/conversations/{id}?as=cat"), &none, 403, "FORBIDDEN");
    service.refused("GET", "/conversations/nothing", &none, 404, "NOT_FOUND");

    let say = format!("/conversations/{id}/messages?as={ANN}");
    let words =
        json!({"content": "on its way", "clientMessageId": "m-1", "attachmentUrl": "https://h.example/x"});
    let sent = service.does("POST", &say, &words, 201);
    assert_eq!(
        (&sent["sender"], &sent["sequence"], &sent["attachmentType"]),
        (&json!(ANN), &json!(1), &json!("file"))
    );
    assert_eq!(service.does("POST", &say, &words, 200), sent);
    service.refused("POST", &format!("/conversations/{id}/messages"), &words, 400, "INVALID");
    service.refused("POST", &format!("/conversations/{id}/messages?as=cat"), &words, 403, "FORBIDDEN");
    service.refused("POST", &say, &json!({"content": ""}), 400, "INVALID");
    // The users see the same.
    assert_eq!(ann.history(&id)[0]["content"], "on its way");

    let unread = format!("/conversations/{id}/unread?as={BOB}");
    assert_eq!(service.does("GET", &unread, &none, 200), json!({"unread": 1}));
    let listed = service.does("GET", &format!("/users/{BOB}/conversations"), &none, 200);
    assert_eq!((&listed["more"], &listed["conversations"][0]["unread"]), (&json!(false), &json!(1)));
    assert_eq!(listed["conversations"][0]["last"]["content"], "on its way");
    assert!(listed.get("next").is_none());
    let other = json!({"kind": "direct", "members": [{"userId": BOB}, {"userId": "cat"}]});
    service.does("POST", "/conversations", &other, 201);
    let first = service.does("GET", &format!("/users/{BOB}/conversations?limit=1"), &none, 200);
    assert_eq!((&first["more"], first["conversations"].as_array().map(Vec::len)), (&json!(true), Some(1)));
    let (before, id_before) = (text(&first["next"]["before"]), text(&first["next"]["beforeId"]));
    let path = format!("/users/{BOB}/conversations?limit=1&before={before}&beforeId={id_before}");
    let second = service.does("GET", &path, &none, 200);
    assert_eq!((&second["more"], &second["conversations"][0]["id"]), (&json!(false), &json!(id)));
    service.refused("GET", &format!("/users/{BOB}/conversations?beforeId=x"), &none, 400, "INVALID");
    assert_eq!(
        service.does("POST", &format!("/conversations/{id}/read?as={BOB}"), &none, 200),
        json!({"done": true})
    );
    assert_eq!(service.does("GET", &unread, &none, 200), json!({"unread": 0}));

    let message = format!("/messages/{}", text(&sent["id"]));
    service.refused("PUT", &format!("{message}?as={BOB}"), &json!({"content": "no"}), 403, "FORBIDDEN");
    let edited = service.does("PUT", &format!("{message}?as={ANN}"), &json!({"content": "arrived"}), 200);
    assert_eq!((&edited["content"], &edited["edited"]), (&json!("arrived"), &json!(true)));
    service.does("POST", &say, &json!({"content": "second"}), 201);

    // Catching up, the oldest first.
    let history = format!("/conversations/{id}/messages");
    let all = service.does("GET", &history, &none, 200);
    assert_eq!((&all["messages"][0]["content"], &all["more"]), (&json!("second"), &json!(false)));
    assert_eq!(all["messages"][1]["reads"][0]["userId"], BOB);
    let page = service.does("GET", &format!("{history}?order=forward&limit=1"), &none, 200);
    assert_eq!((&page["messages"][0]["content"], &page["more"]), (&json!("arrived"), &json!(true)));
    let at = text(&page["messages"][0]["createdAt"]);
    let page = service.does("GET", &format!("{history}?order=forward&after={at}"), &none, 200);
    assert_eq!((&page["messages"][0]["content"], &page["more"]), (&json!("second"), &json!(false)));
    for query in ["order=x", "limit=0", "limit=101", "after=x", "before="] {
        service.refused("GET", &format!("{history}?{query}"), &none, 400, "INVALID");
    }

    service.does("DELETE", &format!("{message}?as={ANN}"), &none, 200);
    assert_eq!(ann.history(&id)[1]["isDeleted"], true);

    let members = format!("/conversations/{id}/members");
    assert_eq!(service.does("POST", &members, &json!({"userId": "cat"}), 201)["role"], "member");
    service.refused("POST", &members, &json!({"userId": "cat"}), 409, "CONFLICT");
    service.refused("POST", &members, &json!({"userId": "dan", "role": "king"}), 400, "INVALID");
    service.does("DELETE", &format!("{members}/cat"), &none, 200);
    service.refused("DELETE", &format!("{members}/cat"), &none, 404, "NOT_FOUND");

    let user = node.token(ANN);
    assert_eq!(node.get_as(&user, &format!("/server/v1/conversations/{id}")).status, 403);
    service.does("DELETE", &format!("/conversations/{id}"), &none, 200);
    service.refused("GET", &format!("/conversations/{id}"), &none, 404, "NOT_FOUND");
}
