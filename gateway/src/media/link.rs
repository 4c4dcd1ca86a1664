//! The way to a bucket: hyper and rustls, for the requests of `object_store` and for our own.
//!
//! `object_store` brings a client of its own (reqwest) only if asked. This one is already here, has no redirects, no
//! cookies and no proxies of the environment, and can send a body that is not in memory.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// What can go wrong with a body.
pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Time from the request to the head of its answer; an upload has its own.
const ANSWER: Duration = Duration::from_secs(15);
/// Idle connections are closed after this.
const IDLE: Duration = Duration::from_secs(30);

type Boxed = UnsyncBoxBody<Bytes, BoxError>;

/// A client that keeps its connections.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// Of a bucket on this machine or in its own network. It needs no certificates, and a container may have none.
    Plain(Client<Tcp, Boxed>),
    /// With certificates that are trusted.
    Tls(Client<HttpsConnector<Tcp>, Boxed>),
}

impl Link {
    /// For https, or for plain HTTP. `ca` is a file with the certificates to trust (PEM) in place of the machine's.
    pub(super) fn open(https: bool, ca: Option<&Path>) -> Result<Self, String> {
        let mut tcp = Tcp::new();
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new());
        if !https {
            return Ok(Self::Plain(builder.build(tcp)));
        }
        tcp.enforce_http(false);
        let tls = match ca {
            Some(ca) => HttpsConnectorBuilder::new().with_tls_config(trusting(ca)?),
            None => HttpsConnectorBuilder::new().with_native_roots().map_err(|error| {
                format!(
                    "this machine has no certificates to trust ({error}): install ca-certificates, or set media.tls_ca"
                )
            })?,
        };
        Ok(Self::Tls(builder.build(tls.https_only().enable_http1().wrap_connector(tcp))))
    }

    /// Sends a request, and waits for the head of its answer for at most `time`.
    pub(super) async fn send<B>(
        &self,
        request: Request<B>,
        time: Duration,
    ) -> Result<Response<Incoming>, HttpError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let answer = async {
            match self {
                Self::Plain(client) => client.request(request).await,
                Self::Tls(client) => client.request(request).await,
            }
        };
        match tokio::time::timeout(time, answer).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request };
                Err(HttpError::new(kind, error))
            }
            Err(late) => Err(HttpError::new(HttpErrorKind::Timeout, late)),
        }
    }
}

/// Trust in those whose certificates are in this file.
fn trusting(ca: &Path) -> Result<ClientConfig, String> {
    let failed = |error: &dyn fmt::Display| format!("media.tls_ca: {}: {error}", ca.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| failed(&error))? {
        roots.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() {
        return Err(failed(&"no certificate is in it"));
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

impl HttpService for Link {
    // As `async_trait` writes it.
    fn call<'life, 'future>(
        &'life self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        Box::pin(async move {
            let response = self.send(request, ANSWER).await?;
            Ok(response.map(|body| {
                HttpResponseBody::new(body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error)))
            }))
        })
    }
}

impl HttpConnector for Link {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
