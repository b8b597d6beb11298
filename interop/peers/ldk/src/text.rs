//! Reading what the driver sends.

use std::str::FromStr;

use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::secp256k1::PublicKey;
use bitcoin::OutPoint;
use serde_json::Value;

/// Why a request has no result. refused: understood, and answered with no.
pub struct Refusal {
    pub kind: &'static str,
    pub text: String,
}

pub type Outcome<T> = Result<T, Refusal>;

pub fn refused(text: impl ToString) -> Refusal {
    Refusal { kind: "refused", text: text.to_string() }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.to_lower_hex_string()
}

/// The parameters of one request.
pub struct Params(pub Value);

impl Params {
    fn bad(name: &str) -> Refusal {
        Refusal { kind: "failed", text: format!("parameter {name} is missing or wrong") }
    }

    pub fn text(&self, name: &str) -> Outcome<&str> {
        self.0[name].as_str().ok_or_else(|| Self::bad(name))
    }

    pub fn number(&self, name: &str) -> Outcome<u64> {
        self.0[name].as_u64().ok_or_else(|| Self::bad(name))
    }

    pub fn number_or_none(&self, name: &str) -> Option<u64> {
        self.0[name].as_u64()
    }

    pub fn flag(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or(false)
    }

    pub fn texts(&self, name: &str) -> Vec<String> {
        let listed = self.0[name].as_array().cloned().unwrap_or_default();
        listed.iter().filter_map(|one| one.as_str().map(str::to_string)).collect()
    }

    pub fn node_id(&self) -> Outcome<PublicKey> {
        PublicKey::from_str(self.text("node_id")?).map_err(|_| Self::bad("node_id"))
    }

    pub fn outpoint(&self, name: &str) -> Outcome<OutPoint> {
        OutPoint::from_str(self.text(name)?).map_err(|_| Self::bad(name))
    }

    pub fn bytes(&self, name: &str) -> Outcome<Vec<u8>> {
        Vec::from_hex(self.text(name)?).map_err(|_| Self::bad(name))
    }

    pub fn bytes32(&self, name: &str) -> Outcome<[u8; 32]> {
        <[u8; 32]>::from_hex(self.text(name)?).map_err(|_| Self::bad(name))
    }
}
