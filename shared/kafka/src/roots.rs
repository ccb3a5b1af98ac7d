//! By what authority a broker is recognised.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use store::setting;

use crate::SettingError;

/// Trusts the authority in `KAFKA_CA_CERTIFICATE` or, without it, those that browsers trust. Amazon's,
/// which issue MSK's certificates, are among these.
pub(crate) fn tls() -> Result<Arc<ClientConfig>, SettingError> {
    trusting(setting("KAFKA_CA_CERTIFICATE").ok().as_deref())
}

/// Trusts this authority (PEM) or, without one, those that browsers trust.
pub(crate) fn trusting(authority: Option<&str>) -> Result<Arc<ClientConfig>, SettingError> {
    let roots = match authority {
        Some(pem) => roots(pem)?,
        None => RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        },
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| SettingError::InvalidCertificate)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots(pem: &str) -> Result<RootCertStore, SettingError> {
    // A parameter of a deployment has one line.
    let pem = pem.replace("\\n", "\n");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| SettingError::InvalidCertificate)?;
        roots
            .add(certificate)
            .map_err(|_| SettingError::InvalidCertificate)?;
    }
    if roots.is_empty() {
        return Err(SettingError::InvalidCertificate);
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_may_be_on_one_line() {
        let pem = include_str!("../tests/authority.pem");
        assert_eq!(roots(pem).unwrap().len(), 1);
        assert_eq!(roots(&pem.replace('\n', "\\n")).unwrap().len(), 1);
    }

    #[test]
    fn anything_else_is_refused() {
        for pem in [
            "",
            "a certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        ] {
            assert!(
                matches!(roots(pem), Err(SettingError::InvalidCertificate)),
                "{pem}"
            );
        }
    }
}
