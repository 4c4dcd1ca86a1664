//! TLS to the servers: whose certificates they may show, and which one we show them.
//!
//! The driver finds servers by their addresses and asks for a certificate of that address. Where certificates have names
//! instead, one name can be asked for at all of them, or none: an authority of the operator's own that signs for database
//! servers and nobody else is proof enough.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// How the servers prove who they are, and we do. Its files are read once.
#[derive(Clone)]
pub struct Tls(pub(super) Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Two are the same if one is a copy of the other.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tls {}

/// In place of a name: whatever the authority has signed.
const ANY: &str = "*";

impl Tls {
    /// With the certificates of those whose signature counts, and where servers want one, our own and its key: files in
    /// PEM. `name` is what all servers' certificates are for; without it, each is for its server's address; `*`: for anything.
    ///
    /// # Errors
    /// When a file cannot be read, or is not what it should be; with its path.
    pub fn read(ca: &Path, own: Option<(&Path, &Path)>, name: Option<&str>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| format!("{}: {error}", ca.display()))?;
        }
        let roots = Arc::new(roots);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match name {
            None => builder.with_root_certificates(roots),
            Some(name) => {
                let verifier = Arc::new(Verifier::new(roots, provider, name)?);
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let failed = |error: &dyn fmt::Display| format!("{}: {error}", key.display());
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(&error))?;
                builder
                    .with_client_auth_cert(certificates(certificate)?, key)
                    .map_err(|error| failed(&error))?
            }
        };
        Ok(Self(Arc::new(config)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?.collect();
    match found {
        Ok(found) if found.is_empty() => Err(failed(&"no certificate is in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(failed(&error)),
    }
}

/// Takes a certificate for one name, or for any, whatever address it was asked of.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    name: Option<ServerName<'static>>,
}

impl Verifier {
    fn new(roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>, name: &str) -> Result<Self, String> {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| error.to_string())?;
        let name = match name {
            ANY => None,
            name => {
                let failed = |error| format!("{name:?} is no name of a server: {error}");
                Some(ServerName::try_from(name.to_owned()).map_err(failed)?)
            }
        };
        Ok(Self { inner, roots, provider, name })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _address: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(name) = &self.name {
            return self.inner.verify_server_cert(shown, between, name, ocsp, now);
        }
        let shown = ParsedCertificate::try_from(shown)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&shown, &self.roots, between, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
