//! Channel keys of LDK's key manager; whatever closes pay goes to our wallet.

use std::sync::{Arc, Mutex};

use bitcoin::ScriptBuf;
use lightning::ln::script::ShutdownScript;
use lightning::sign::{InMemorySigner, KeysManager, SignerProvider};

use crate::wallet::Wallet;

pub struct Signer {
    keys: Arc<KeysManager>,
    wallet: Arc<Wallet>,
    shutdown: Mutex<Option<ShutdownScript>>,
}

impl Signer {
    pub fn new(keys: Arc<KeysManager>, wallet: Arc<Wallet>) -> Self {
        Self { keys, wallet, shutdown: Mutex::new(None) }
    }

    /// Use this script for the channel that is made meanwhile.
    pub fn with_shutdown_script<T>(&self, script: Option<ShutdownScript>, make: impl FnOnce() -> T) -> T {
        *self.shutdown.lock().unwrap() = script;
        let made = make();
        *self.shutdown.lock().unwrap() = None;
        made
    }
}

impl SignerProvider for Signer {
    type EcdsaSigner = InMemorySigner;

    fn generate_channel_keys_id(&self, inbound: bool, user_channel_id: u128) -> [u8; 32] {
        self.keys.generate_channel_keys_id(inbound, user_channel_id)
    }

    fn derive_channel_signer(&self, channel_keys_id: [u8; 32]) -> InMemorySigner {
        self.keys.derive_channel_signer(channel_keys_id)
    }

    fn get_destination_script(&self, _channel_keys_id: [u8; 32]) -> Result<ScriptBuf, ()> {
        Ok(self.wallet.new_script())
    }

    fn get_shutdown_scriptpubkey(&self) -> Result<ShutdownScript, ()> {
        if let Some(script) = self.shutdown.lock().unwrap().clone() {
            return Ok(script);
        }
        ShutdownScript::try_from(self.wallet.new_script()).map_err(|_| ())
    }
}
