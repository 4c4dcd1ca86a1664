//! The start page: what this is, and what to do next.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};

use super::state::Front;

/// Everything comes from this server, and nothing may frame it.
pub(super) const CONTENT_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
);

pub(super) fn routes() -> Router<Arc<Front>> {
    Router::new().route("/", get(start))
}

async fn start(State(front): State<Arc<Front>>) -> Response {
    let (presence, messaging) = (&front.config.presence_api, &front.config.messaging_api);
    let mut apis = String::new();
    if presence.enabled {
        apis.push_str(&presence_text(&presence.base_path));
    }
    if messaging.enabled {
        apis.push_str(&messaging_text(&messaging.base_path, &messaging.socket_path));
    }
    let mut response = Response::new(Body::from(page(&apis)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    response
}

/// The base path has only characters that need no escape (the configuration checks it).
fn presence_text(base: &str) -> String {
    format!(
        "<h2>Come online</h2>
<p>Make a token on the server's machine, then connect with any WebSocket client:</p>
<pre>muster token --user 7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f
npx wscat -c 'ws://HOST{base}/presence/ws?token=TOKEN'</pre>
<h2>See who is online</h2>
<pre>curl http://HOST{base}/presence/online-count
curl -H 'Authorization: Bearer TOKEN' http://HOST{base}/presence/online-users</pre>
"
    )
}

/// As [`presence_text`].
fn messaging_text(base: &str, socket: &str) -> String {
    format!(
        "<h2>Send a message</h2>
<pre>curl -H 'Authorization: Bearer TOKEN' -H 'Content-Type: application/json' \\
  -d '{{\"recipientId\":\"bob\",\"content\":\"Hello\"}}' http://HOST{base}/messages
curl -H 'Authorization: Bearer TOKEN' http://HOST{base}/conversations</pre>
<p>Messages come in real time to any Socket.IO client: <code>io(\"http://HOST\", {{ path: \"{socket}\", auth: {{ token }} }})</code></p>
"
    )
}

fn page(apis: &str) -> String {
    format!(
        "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Muster</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }}
pre {{ background: #f3f3f3; color: #111; padding: .8rem; overflow-x: auto }}
</style>
<h1>Muster</h1>
<p>This server knows who is online, tells those who may know, and carries their messages. It is running.</p>
<ul>
<li><a href=\"/swagger/\">Try the HTTP calls</a></li>
<li><a href=\"/openapi.json\">Their description for programs (OpenAPI 3.1)</a></li>
</ul>
{apis}<h2>From a back end</h2>
<pre>muster token --user my-service --service
curl -H 'Authorization: Bearer TOKEN' http://HOST/server/v1/presence/count</pre>
</html>
"
    )
}
