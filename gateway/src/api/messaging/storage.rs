//! Files of the messaging API: taken, and deleted by who sent them.
//!
//! An upload is looked at in the order in which it comes: the token, a place, the head, the beginning of the file, its
//! length. What is refused early is answered early; the rest of the body is then read and thrown away beside the answer
//! ([`Intake::discard`]), and the connection ends.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use multer::{Field, Multipart};
use schema::Key;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::form::{self, BESIDE, Intake, Leash, Times};
use super::problem::Failure;
use crate::config::Config;
use crate::http::client_addr::{Client, Peer};
use crate::http::json::json;
use crate::http::{Front, body, strict};
use crate::media::name::{ObjectName, file_name};
use crate::media::spool::Spool;
use crate::media::{Media, Owner, PREFIX, kind};

/// Most parts of a form.
const PARTS: usize = 16;
/// Longest body of `delete`.
const DELETE_BYTES: usize = 16 * 1024;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is wrong with a file that is none of those that are taken.
const WRONG_TYPE: &str = "Invalid file type. Only images, videos, audio, and documents are allowed";

/// A form with a file.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it describes the form, which is read in pieces")]
pub struct Upload {
    /// The file, with its name and its type.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// Taken and not used: every file goes to `messages`.
    folder: Option<String>,
}

/// A file that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct Uploaded {
    /// Where everyone can read it; what `attachmentUrl` of a message is.
    #[schema(example = "http://localhost:8080/messaging/messages/1732546789123-photo.jpg")]
    url: String,
    /// Its name, without the path.
    #[schema(example = "photo.jpg")]
    filename: String,
    /// Its type, as it was recognised.
    #[schema(example = "image/jpeg")]
    mimetype: String,
    /// Bytes.
    #[schema(example = 102_400)]
    size: u64,
}

/// Which file to delete.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Delete {
    /// Its address, as the upload answered it.
    url: String,
}

/// A call that did what it should.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// For people.
    #[schema(example = "File deleted successfully")]
    message: &'static str,
}

/// Take a file
///
/// An image, video, audio or document of at most 10 MiB, in the field `file` of a form. The answer's `url` is what a
/// message's `attachmentUrl` is.
#[utoipa::path(post, path = "/storage/upload", tag = "messaging: files", security(("userToken" = [])),
    request_body(content = Upload, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = Uploaded),
        (status = 400, body = Failure, description = "No file, an empty one, one that is too large, or of a type that is \
            not taken"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 408, body = Failure, description = "The file did not arrive in time"),
        (status = 503, body = Failure, description = "Too many uploads at the moment; try again"),
))]
pub async fn upload(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let settings = &front.config.media;
    let times = Times { whole: settings.upload_time, stall: settings.stall_time };
    let most = settings.max_bytes.bytes() as u64;
    let mut intake = Intake::new(body, &headers, most + BESIDE, times);
    let taken = take(&front, client, &headers, &mut intake).await;
    let ended = intake.ended();
    intake.discard();
    let mut response = match taken {
        Ok(taken) => {
            let url = address(&front.config, &taken.bucket, &taken.name, &headers, peer);
            let uploaded = Uploaded { url, filename: taken.filename, mimetype: taken.kind, size: taken.size };
            json(StatusCode::CREATED, &uploaded)
        }
        Err(problem) => problem.into_response(),
    };
    if !ended {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Delete a file
///
/// Only who uploaded it may.
#[utoipa::path(delete, path = "/storage/delete", tag = "messaging: files", security(("userToken" = [])),
    request_body = Delete,
    responses(
        (status = 200, body = Done),
        (status = 400, body = Failure, description = "The body is not of the form {\"url\":\"…\"}"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 403, body = Failure, description = "The file is somebody else's"),
        (status = 404, body = Failure, description = "There is no such file"),
        (status = 408, body = Failure, description = "The body did not arrive in time"),
        (status = 413, body = Failure, description = "The body is too large"),
))]
pub async fn remove(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let deleted = async {
        let caller = front.caller(&headers, client)?;
        let bytes = body::read(body, DELETE_BYTES).await?;
        let Delete { url } = strict::object(&bytes)
            .map_err(|_| Problem::bad("the body must be JSON of the form {\"url\":\"…\"}"))?;
        let media = media(&front)?;
        let missing = || Problem::not_found("File not found");
        let name = of_address(&front.config, media.bucket(), &url).ok_or_else(missing)?;
        if media.about(&name).await?.owner != Owner::of(&caller.actor.key, &name) {
            return Err(Problem::forbidden("Only who uploaded a file may delete it"));
        }
        media.delete(&name).await?;
        Ok(json(StatusCode::OK, &Done { message: "File deleted successfully" }))
    };
    deleted.await.unwrap_or_else(|problem: Problem| problem.into_response())
}

fn media(front: &Front) -> Result<&Arc<Media>, Problem> {
    // There is no route to here without a store.
    front.media.as_ref().ok_or_else(Problem::internal)
}

/// An upload that was published.
struct Taken {
    name: ObjectName,
    bucket: String,
    filename: String,
    kind: String,
    size: u64,
}

/// A file that was received whole and is not yet published.
struct Received {
    spool: Spool,
    filename: String,
    kind: String,
}

async fn take(
    front: &Front,
    client: Client,
    headers: &HeaderMap,
    intake: &mut Intake,
) -> Result<Taken, Problem> {
    let caller = front.caller(headers, client)?;
    let media = media(front)?;
    let place =
        media.place().ok_or_else(|| Problem::unavailable("Too many uploads at the moment; try again"))?;
    let boundary = form::boundary(headers)?;
    let most = front.config.media.max_bytes.bytes() as u64;
    if form::announced(headers).is_some_and(|length| length > most + BESIDE) {
        return Err(too_large(most));
    }
    let received = receive(front, media, intake, boundary).await;
    let received = received.map_err(|error| match error {
        ReceiveError::Refused(problem) => problem,
        ReceiveError::Form(error) => form::problem(intake.failure(), &error),
    })?;
    if !intake.finish().await {
        return Err(Problem::bad("Malformed multipart form: something stands behind its end"));
    }
    let (media, now, user) = (media.clone(), front.clock.unix_ms(), caller.actor.key);
    // On its own: a client that goes now must not leave half of it.
    let published = tokio::spawn(async move {
        let published = publish(&media, received, now, &user).await;
        drop(place);
        published
    });
    published.await.map_err(|error| {
        tracing::error!(%error, "publishing a file failed");
        Problem::internal()
    })?
}

async fn publish(media: &Media, received: Received, now: u64, user: &Key) -> Result<Taken, Problem> {
    let Received { spool, filename, kind } = received;
    let size = spool.size();
    let name = media.publish(spool, now, &filename, &kind, user).await?;
    Ok(Taken { name, bucket: media.bucket().to_owned(), filename, kind, size })
}

enum ReceiveError {
    Refused(Problem),
    Form(multer::Error),
}

impl<P: Into<Problem>> From<P> for ReceiveError {
    fn from(problem: P) -> Self {
        Self::Refused(problem.into())
    }
}

/// Reads the form to its end, the file into a temporary one.
async fn receive(
    front: &Front,
    media: &Media,
    intake: &mut Intake,
    boundary: String,
) -> Result<Received, ReceiveError> {
    let leash = intake.leash();
    let mut form = Multipart::new(intake, boundary);
    let mut received = None;
    let mut parts = 0;
    while let Some(field) = form.next_field().await.map_err(ReceiveError::Form)? {
        leash.loosen();
        parts += 1;
        if parts > PARTS {
            return Err(Problem::bad("Malformed multipart form: it has too many parts").into());
        }
        let named = field.file_name().is_some_and(|name| !name.is_empty());
        if field.name() != Some("file") || !named {
            // Other fields are of no use here, and of no harm: the form as a whole is bounded.
            let mut field = field;
            while field.chunk().await.map_err(ReceiveError::Form)?.is_some() {
                leash.loosen();
            }
        } else if received.is_none() {
            received = Some(file(front, media, field, &leash).await?);
        } else {
            return Err(Problem::bad("Only one file can be uploaded at a time").into());
        }
    }
    received.ok_or_else(|| Problem::bad("File is required").into())
}

/// Reads the file.
async fn file(
    front: &Front,
    media: &Media,
    mut field: Field<'_>,
    leash: &Leash,
) -> Result<Received, ReceiveError> {
    let settings = &front.config.media;
    let most = settings.max_bytes.bytes() as u64;
    let wrong_type = || ReceiveError::Refused(Problem::bad(WRONG_TYPE));
    let filename = file_name(field.file_name().unwrap_or_default());
    let declared = field.headers().get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or("?").to_owned());
    let declared = declared.as_deref();
    if !kind::may_be_called(declared, &settings.types) {
        return Err(wrong_type());
    }
    let mut spool = media.begin(front.clock.unix_ms(), &filename).await?;
    let mut head = Vec::new();
    let mut verified = None;
    while let Some(bytes) = field.chunk().await.map_err(ReceiveError::Form)? {
        leash.loosen();
        if spool.size() + bytes.len() as u64 > most {
            return Err(too_large(most).into());
        }
        if verified.is_none() {
            head.extend_from_slice(&bytes[..bytes.len().min(kind::HEAD - head.len())]);
            if head.len() == kind::HEAD {
                let kind = kind::verified(declared, &head, &filename, &settings.types);
                verified = Some(kind.ok_or_else(wrong_type)?);
            }
        }
        spool.write(&bytes).await?;
    }
    if spool.size() == 0 {
        return Err(Problem::bad("File is empty").into());
    }
    let kind = match verified {
        Some(kind) => kind,
        None => kind::verified(declared, &head, &filename, &settings.types).ok_or_else(wrong_type)?,
    };
    Ok(Received { spool, filename, kind })
}

fn too_large(most: u64) -> Problem {
    const MIB: u64 = 1024 * 1024;
    let most = if most.is_multiple_of(MIB) { format!("{}MB", most / MIB) } else { format!("{most} bytes") };
    Problem::bad(format!("File size exceeds {most}"))
}

/// The public address of an object.
fn address(config: &Config, bucket: &str, name: &ObjectName, headers: &HeaderMap, peer: Peer) -> String {
    format!("{}/{bucket}/{PREFIX}/{}", base(config, headers, peer), name.encoded())
}

/// What addresses begin with: what is configured, or the address that the client came to.
fn base(config: &Config, headers: &HeaderMap, peer: Peer) -> String {
    let media = &config.media;
    if let Some(base) = &media.public_base {
        return base.clone();
    }
    if let (crate::config::MediaStore::S3, Some(endpoint)) = (media.store, &media.endpoint) {
        return endpoint.clone();
    }
    let peer = peer.0.ip().to_canonical();
    let trusted = config.http.trusted_proxies.iter().any(|network| network.contains(&peer));
    let https = trusted && headers.get(FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes() == b"https");
    let scheme = if https { "https" } else { "http" };
    // What is no host would be written into messages of others.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
    match host {
        Some(host) => format!("{scheme}://{host}"),
        None => format!("{scheme}://{}", config.http.address),
    }
}

/// What addresses of files that were uploaded here begin with; `None` where none are taken.
#[must_use]
pub fn own(front: &Front, headers: &HeaderMap, peer: Peer) -> Option<String> {
    let media = front.media.as_ref()?;
    Some(format!("{}/{}/{PREFIX}/", base(&front.config, headers, peer), media.bucket()))
}

fn is_host(text: &str) -> bool {
    let plain = text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._:[]".contains(&c));
    plain && text.parse::<http::uri::Authority>().is_ok_and(|authority| !authority.host().is_empty())
}

/// The object of an address: one of ours, by its base where there is one, and by its path.
fn of_address(config: &Config, bucket: &str, url: &str) -> Option<ObjectName> {
    let path = match &config.media.public_base {
        Some(base) => url.strip_prefix(base.as_str())?,
        None => {
            let behind_scheme = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
            &behind_scheme[behind_scheme.find('/')?..]
        }
    };
    let below = path.strip_prefix('/')?.strip_prefix(bucket)?.strip_prefix('/')?;
    ObjectName::of_address(below.strip_prefix(PREFIX)?.strip_prefix('/')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_toml("m.toml", text).unwrap()
    }

    fn base_of(config: &Config, host: &str, proto: &str) -> String {
        let headers = [(HOST, host), (FORWARDED_PROTO, proto)];
        let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
        let headers = headers.map(|(name, value)| (name, value.parse().unwrap())).collect();
        base(config, &headers, Peer("10.0.0.1:5".parse().unwrap()))
    }

    #[test]
    fn addresses_begin_where_the_client_came_to() {
        let default = config("");
        assert_eq!(base_of(&default, "chat.example:8080", ""), "http://chat.example:8080");
        assert_eq!(base_of(&default, "[::1]:8080", "https"), "http://[::1]:8080");
        for host in ["", "a\"b", "user@host", "a/b", "a b", "<x>"] {
            assert_eq!(base_of(&default, host, ""), "http://127.0.0.1:8080", "{host}");
        }
        let proxied = config("[http]\ntrusted_proxies = [\"10.0.0.0/8\"]");
        assert_eq!(base_of(&proxied, "chat.example", "https"), "https://chat.example");
        let fixed = config("[media]\npublic_base = \"https://files.example/x\"");
        assert_eq!(base_of(&fixed, "chat.example", ""), "https://files.example/x");
    }

    #[test]
    fn only_our_addresses_lead_to_an_object() {
        let default = config("");
        let found = |config: &Config, url| of_address(config, "messaging", url).map(|name| name.to_string());
        for (url, name) in [
            ("http://any.example/messaging/messages/17-a.png", Some("17-a.png")),
            ("https://any.example:8/messaging/messages/17-%E1%BA%A3.png", Some("17-ả.png")),
            ("/messaging/messages/17-a.png", None),
            ("ftp://h/messaging/messages/17-a.png", None),
            ("http://h/other/messages/17-a.png", None),
            ("http://h/messaging/about/17-a.png", None),
            ("http://h/messaging/messages/../about/17-a.png", None),
            ("http://h/messaging/messages/17-%2e%2e%2f17-a.png", None),
            ("http://h", None),
            ("", None),
        ] {
            assert_eq!(found(&default, url).as_deref(), name, "{url}");
        }
        let fixed = config("[media]\npublic_base = \"https://files.example\"");
        assert!(found(&fixed, "https://files.example/messaging/messages/17-a").is_some());
        assert!(found(&fixed, "https://files.example.evil/messaging/messages/17-a").is_none());
        assert!(found(&fixed, "http://h/messaging/messages/17-a").is_none());
    }

    #[test]
    fn the_limit_is_told_as_clients_know_it() {
        assert_eq!(too_large(10 * 1024 * 1024).message, "File size exceeds 10MB");
        assert_eq!(too_large(1_500).message, "File size exceeds 1500 bytes");
    }
}
