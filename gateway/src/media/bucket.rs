//! Files in a bucket: S3, MinIO, and what speaks like them.
//!
//! `object_store` finds and deletes; an upload is put by ourselves, since it must not be in memory, and since the
//! bucket itself is nothing `object_store` asks about. All are signed by the same code of `object_store`, and
//! go the same way ([`link`](super::link)). Addresses are path-style: `<endpoint>/<bucket>/messages/<name>`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpError, HttpErrorKind, HttpRequestBody};
use object_store::path::Path as ObjectPath;
use object_store::{Attribute, BackoffConfig, Error, GetOptions, ObjectStore, ObjectStoreExt, RetryConfig};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

use super::folder::Names;
use super::kind::is_shown;
use super::link::Link;
use super::name::ObjectName;
use super::spool::Spool;
use super::{About, MediaError, Owner, PREFIX};
use crate::config::Media as Settings;

/// Where the owner is kept: metadata of the object.
const OWNER: HeaderName = HeaderName::from_static("x-amz-meta-owner");
/// The same by the name that `object_store` has for it.
const OWNER_ATTRIBUTE: &str = "owner";

/// Time to put one file, and to ask about the bucket.
const PUT: Duration = Duration::from_secs(60);
const ASK: Duration = Duration::from_secs(10);
/// What is read of a file at a time while it is put.
const PIECE: usize = 32 * 1024;
/// What is read of an error: its code stands at the beginning.
const ERROR: usize = 16 * 1024;

/// A bucket.
#[derive(Debug)]
pub struct Bucket {
    name: String,
    endpoint: String,
    region: String,
    credential: AwsCredential,
    store: AmazonS3,
    link: Link,
}

impl Bucket {
    /// Opens the bucket that is configured, and makes it where that is allowed and it is not there.
    pub(super) async fn open(media: &Settings) -> Result<Self, String> {
        let endpoint = media.endpoint.clone().unwrap_or_default();
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let text = |secret: &Option<crate::config::Secret>| {
            secret
                .as_ref()
                .map(|secret| String::from_utf8_lossy(secret.expose()).into_owned())
                .unwrap_or_default()
        };
        let key_id = text(&media.access_key);
        let secret_key = text(&media.secret_key);
        let link = Link::open(endpoint.starts_with("https://"), media.tls_ca.as_deref())?;
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(1),
                base: 2.0,
            },
            max_retries: 2,
            retry_timeout: Duration::from_secs(10),
        };
        let store = AmazonS3Builder::new()
            .with_endpoint(&endpoint)
            .with_allow_http(media.allow_http)
            .with_virtual_hosted_style_request(false)
            .with_bucket_name(&media.bucket)
            .with_region(&media.region)
            .with_access_key_id(&key_id)
            .with_secret_access_key(&secret_key)
            .with_http_connector(link.clone())
            .with_retry(retry)
            .build()
            .map_err(|error| format!("the bucket's settings do not fit: {error}"))?;
        let bucket = Self {
            name: media.bucket.clone(),
            endpoint,
            region: media.region.clone(),
            credential: AwsCredential { key_id, secret_key, token: None },
            store,
            link,
        };
        bucket.check(media.create_bucket).await?;
        Ok(bucket)
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is there and ours; makes it if it may.
    async fn check(&self, create: bool) -> Result<(), String> {
        let (name, endpoint) = (&self.name, &self.endpoint);
        let answer = self.ask(Method::HEAD, "", Bytes::new()).await.map_err(|error| {
            let cause = MediaError::failed("no answer", &error);
            let tls = if endpoint.starts_with("https://") { " Who has signed its certificate goes to media.tls_ca." } else { "" };
            format!("the bucket at {endpoint} cannot be reached: {cause}; is media.endpoint right, and does it run?{tls}")
        })?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND if create => self.make().await,
            StatusCode::NOT_FOUND => Err(format!(
                "there is no bucket {name:?} at {endpoint}: make it (`mc mb`, `aws s3 mb`), give media.bucket the name \
                 of one that is there, or set media.create_bucket = true"
            )),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Err(format!(
                "{endpoint} refuses the keys for the bucket {name:?}: check media.access_key and media.secret_key, and \
                 that they may list, read, write and delete in it (and this machine's clock: more than 15 minutes off \
                 is refused, too)"
            )),
            StatusCode::MOVED_PERMANENTLY | StatusCode::TEMPORARY_REDIRECT | StatusCode::BAD_REQUEST => {
                let region =
                    answer.headers().get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
                let hint = region.map(|region| format!(" (it says {region:?})")).unwrap_or_default();
                Err(format!("the bucket {name:?} at {endpoint} is of another region{hint}: set media.region"))
            }
            status => Err(format!("the bucket {name:?} at {endpoint} answers {status}")),
        }
    }

    /// Makes the bucket, and lets everyone read what messages point to.
    async fn make(&self) -> Result<(), String> {
        let (name, endpoint) = (&self.name, &self.endpoint);
        // Elsewhere than in its first region, S3 wants to be told where.
        let place = match self.region.as_str() {
            "us-east-1" => Bytes::new(),
            region => format!(
                "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            )
            .into(),
        };
        let made = self.ask(Method::PUT, "", place).await.map_err(|error| error.to_string());
        let made = match made {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => {
                let status = answer.status();
                let text = text_of(answer.into_body()).await;
                // Another node was faster.
                if text.contains("BucketAlreadyOwnedByYou") {
                    Ok(())
                } else {
                    Err(format!("{status} {text}"))
                }
            }
            Err(error) => Err(error),
        };
        made.map_err(|error| {
            format!(
                "the bucket {name:?} at {endpoint} is not there and could not be made ({error}): make it with \
                 `mc mb` or `aws s3 mb`, or give media.bucket the name of one that is there"
            )
        })?;
        tracing::info!(bucket = name, "made the bucket");
        let policy = policy(name);
        let allowed = match self.ask(Method::PUT, "policy=", policy.into()).await {
            Ok(answer) if answer.status().is_success() => true,
            Ok(answer) => {
                tracing::debug!(status = %answer.status(), "the bucket's policy was refused");
                false
            }
            Err(_) => false,
        };
        if !allowed {
            tracing::warn!(
                bucket = name,
                "the new bucket does not take a policy: let everyone read messages/* in it (docs/MESSAGING.md), or \
                 the addresses of files lead nowhere"
            );
        }
        Ok(())
    }

    /// Puts an upload into the bucket.
    pub(super) async fn publish(&self, spool: &Spool, about: &About) -> Result<(), MediaError> {
        let url = format!("{}/{}/{PREFIX}/{}", self.endpoint, self.name, spool.name().encoded());
        let mut headers = HeaderMap::new();
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|error| MediaError::failed("a header cannot be sent", &error))
        };
        headers.insert(CONTENT_TYPE, value(&about.kind)?);
        headers.insert(OWNER, value(&about.owner.0)?);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        if !is_shown(&about.kind) {
            headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        }
        // A file is never replaced by another one of its name.
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        let failed = |error: HttpError| MediaError::failed("the bucket did not take a file", &error);
        let request = self.signed(Method::PUT, &url, headers, spool.sum()).map_err(failed)?;
        let file = File::open(spool.path())
            .await
            .map_err(|error| MediaError::failed("cannot read the temporary file", &error))?;
        let body = FileBody { file, left: spool.size(), piece: vec![0; PIECE] };
        let answer = self.link.send(request.map(|_| body), PUT).await.map_err(failed)?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            // The second is what S3 says when two of one name come at the same moment.
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => Err(MediaError::Taken),
            status => {
                let text = text_of(answer.into_body()).await;
                Err(MediaError::Failed(format!("the bucket did not take a file: {status} {text}")))
            }
        }
    }

    /// What is kept of an object.
    pub(super) async fn about(&self, name: &ObjectName) -> Result<About, MediaError> {
        let found = self.store.get_opts(&at(name)?, GetOptions { head: true, ..GetOptions::default() }).await;
        let found = found.map_err(|error| of_store("the bucket does not say who owns a file", error))?;
        let attribute = |attribute| found.attributes.get(&attribute).map(|value| value.to_string());
        Ok(About {
            kind: attribute(Attribute::ContentType).unwrap_or_default(),
            // Whatever else lies in the bucket is nobody's.
            owner: Owner(attribute(Attribute::Metadata(OWNER_ATTRIBUTE.into())).unwrap_or_default()),
        })
    }

    /// All objects.
    pub(super) fn names(&self) -> Names {
        super::folder::names(&self.store, PREFIX)
    }

    /// Deletes an object that was seen to be there.
    pub(super) async fn delete(&self, name: &ObjectName) -> Result<(), MediaError> {
        let deleted = self.store.delete(&at(name)?).await;
        deleted.map_err(|error| of_store("the bucket did not delete a file", error))
    }

    /// A request about the bucket itself.
    async fn ask(
        &self,
        method: Method,
        query: &str,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, HttpError> {
        let mut url = format!("{}/{}", self.endpoint, self.name);
        if !query.is_empty() {
            url = format!("{url}?{query}");
        }
        let sum = Sha256::digest(&body).into();
        let request = self.signed(method, &url, HeaderMap::new(), &sum)?;
        match body.is_empty() {
            true => self.link.send(request.map(|_| Empty::new()), ASK).await,
            false => self.link.send(request.map(|_| Full::new(body)), ASK).await,
        }
    }

    /// A request with its signature (SigV4); the body is told by its digest only.
    fn signed(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        sum: &[u8; 32],
    ) -> Result<Request<HttpRequestBody>, HttpError> {
        let request = Request::builder().method(method).uri(url).body(HttpRequestBody::empty());
        let mut request = request.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        *request.headers_mut() = headers;
        AwsAuthorizer::new(&self.credential, "s3", &self.region)
            .try_authorize(&mut request, Some(sum))
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        Ok(request)
    }
}

/// Everyone may read what messages point to, and list nothing.
fn policy(bucket: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":["*"]}},"Action":["s3:GetObject"],"Resource":["arn:aws:s3:::{bucket}/{PREFIX}/*"]}}]}}"#
    )
}

/// As it is: what would have to be encoded is in no name.
fn at(name: &ObjectName) -> Result<ObjectPath, MediaError> {
    ObjectPath::parse(format!("{PREFIX}/{name}")).map_err(|error| MediaError::failed("not a name", &error))
}

fn of_store(what: &str, error: Error) -> MediaError {
    match error {
        Error::NotFound { .. } => MediaError::NotFound,
        error => MediaError::failed(what, &error),
    }
}

/// The beginning of an error's text, on one line.
async fn text_of(body: Incoming) -> String {
    let read = tokio::time::timeout(ASK, Limited::new(body, ERROR).collect()).await;
    let bytes = read.ok().and_then(Result::ok).map(|whole| whole.to_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(300)
        .collect()
}

/// A file as a body, read in pieces.
struct FileBody {
    file: File,
    left: u64,
    piece: Vec<u8>,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let mut buffer = ReadBuf::new(&mut this.piece);
        ready!(Pin::new(&mut this.file).poll_read(context, &mut buffer))?;
        let read = buffer.filled();
        let read = &read[..read.len().min(usize::try_from(this.left).unwrap_or(usize::MAX))];
        if read.is_empty() {
            return Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())));
        }
        this.left -= read.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(read)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_json_and_allows_reading_only() {
        let policy: serde_json::Value = serde_json::from_str(&policy("messaging")).unwrap();
        let statement = &policy["Statement"][0];
        assert_eq!(statement["Action"], serde_json::json!(["s3:GetObject"]));
        assert_eq!(statement["Resource"][0], "arn:aws:s3:::messaging/messages/*");
    }
}
