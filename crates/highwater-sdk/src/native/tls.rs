//! TLS for `https`: rustls with ring, and the public authorities that browsers
//! trust, built in, so that no file of the system is needed.

use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// A connector that trusts the public authorities and those given.
pub(super) fn connector(authorities: &[Vec<u8>]) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for (at, der) in authorities.iter().enumerate() {
        roots
            .add(CertificateDer::from(der.clone()))
            .map_err(|error| format!("root_certificates[{at}] cannot be read: {error}"))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
