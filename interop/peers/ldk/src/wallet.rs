//! A small wallet of p2wpkh coins under one BIP 32 key: addresses, sends, funding, and coins for LDK's fee bumps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bitcoin::absolute::LockTime;
use bitcoin::bip32::{ChildNumber, Xpriv};
use bitcoin::key::CompressedPublicKey;
use bitcoin::secp256k1::{All, Message, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, Network, NetworkKind, OutPoint, Psbt, ScriptBuf, Sequence, Transaction, TxIn, TxOut, WPubkeyHash,
    Witness,
};
use lightning::events::bump_transaction::sync::WalletSourceSync;
use lightning::events::bump_transaction::Utxo;
use lightning::sign::ChangeDestinationSourceSync;
use lightning_block_sync::rpc::RpcClient;
use serde_json::json;

use crate::chain::call;
use crate::ledger::{Coin, Ledger};

/// So many keys past the last one used are looked for: a restored copy may have forgotten the newest.
const GAP: u32 = 200;
const INPUT_WEIGHT: u64 = 272;
const OVERHEAD_WEIGHT: u64 = 44;
const DUST_SAT: u64 = 546;
/// A coin put into a transaction is kept from others for so long; then the mempool is believed.
const RESERVED: Duration = Duration::from_secs(60);

pub struct Wallet {
    secp: Secp256k1<All>,
    key: Xpriv,
    ledger: Arc<Ledger>,
    reserved: Mutex<HashMap<OutPoint, Instant>>,
}

impl Wallet {
    pub fn new(seed: &[u8; 32], ledger: Arc<Ledger>) -> Self {
        let key = Xpriv::new_master(NetworkKind::Test, seed).expect("any seed makes a key");
        let wallet = Self { secp: Secp256k1::new(), key, ledger, reserved: Mutex::new(HashMap::new()) };
        for index in 0..wallet.ledger.next_index() + GAP {
            wallet.ledger.watch_script(wallet.script(index), index);
        }
        wallet
    }

    fn secret(&self, index: u32) -> SecretKey {
        // Hardened children below 100 are LDK's own.
        let path = [ChildNumber::Hardened { index: 100 }, ChildNumber::Normal { index }];
        self.key.derive_priv(&self.secp, &path).expect("a child of a key").private_key
    }

    fn public(&self, index: u32) -> CompressedPublicKey {
        CompressedPublicKey(self.secret(index).public_key(&self.secp))
    }

    fn key_hash(&self, index: u32) -> WPubkeyHash {
        self.public(index).wpubkey_hash()
    }

    fn script(&self, index: u32) -> ScriptBuf {
        ScriptBuf::new_p2wpkh(&self.key_hash(index))
    }

    pub fn new_script(&self) -> ScriptBuf {
        let index = self.ledger.take_index();
        self.ledger.watch_script(self.script(index + GAP), index + GAP);
        self.script(index)
    }

    pub fn new_address(&self) -> Address {
        Address::from_script(&self.new_script(), Network::Regtest).expect("p2wpkh has an address")
    }

    /// Coins that can be spent now: confirmed, and not spent in the mempool either.
    pub async fn available(&self, rpc: &RpcClient) -> Vec<Coin> {
        let mut found = Vec::new();
        for coin in self.unreserved() {
            let outpoint = coin.outpoint;
            let params = [json!(outpoint.txid.to_string()), json!(outpoint.vout), json!(true)];
            if matches!(call(rpc, "gettxout", &params).await, Ok(answer) if !answer.is_null()) {
                found.push(coin);
            }
        }
        found
    }

    fn unreserved(&self) -> Vec<Coin> {
        let mut reserved = self.reserved.lock().unwrap();
        reserved.retain(|_, since| since.elapsed() < RESERVED);
        self.ledger.coins().into_iter().filter(|coin| !reserved.contains_key(&coin.outpoint)).collect()
    }

    /// Give back the coins of a transaction that nobody will see.
    pub fn release(&self, transaction: &Transaction) {
        let mut reserved = self.reserved.lock().unwrap();
        for input in &transaction.input {
            reserved.remove(&input.previous_output);
        }
    }

    /// Make a signed transaction with this output first, and reserve its coins.
    pub async fn pay(&self, rpc: &RpcClient, output: TxOut, feerate_per_kw: u32) -> Result<Transaction, String> {
        let mut coins = self.available(rpc).await;
        coins.sort_by_key(|coin| std::cmp::Reverse(coin.value));
        let change = TxOut { value: Amount::ZERO, script_pubkey: self.new_script() };
        let fixed = OVERHEAD_WEIGHT + output.weight().to_wu() + change.weight().to_wu();
        let (mut chosen, mut sum, mut fee) = (Vec::new(), 0, 0);
        for coin in coins {
            chosen.push(coin);
            sum += coin.value;
            let weight = fixed + INPUT_WEIGHT * chosen.len() as u64;
            fee = (weight * u64::from(feerate_per_kw)).div_ceil(1000);
            if sum >= output.value.to_sat() + fee {
                break;
            }
        }
        let left = sum.checked_sub(output.value.to_sat() + fee).ok_or(format!(
            "insufficient funds: {sum} sat confirmed, {} sat and a fee of {fee} sat wanted",
            output.value.to_sat()
        ))?;
        let mut outputs = vec![output];
        if left >= DUST_SAT {
            outputs.push(TxOut { value: Amount::from_sat(left), ..change });
        }
        let inputs = chosen.iter().map(|coin| TxIn {
            previous_output: coin.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        });
        let unsigned =
            Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: inputs.collect(), output: outputs };
        let mut reserved = self.reserved.lock().unwrap();
        reserved.extend(chosen.iter().map(|coin| (coin.outpoint, Instant::now())));
        Ok(self.signed(unsigned))
    }

    /// Sign every input that is a coin of ours.
    fn signed(&self, unsigned: Transaction) -> Transaction {
        let mut signed = unsigned.clone();
        let mut cache = SighashCache::new(&unsigned);
        for (position, input) in unsigned.input.iter().enumerate() {
            let Some(coin) = self.ledger.coin(&input.previous_output) else { continue };
            let (script, value) = (self.script(coin.index), Amount::from_sat(coin.value));
            let hash = cache
                .p2wpkh_signature_hash(position, &script, value, EcdsaSighashType::All)
                .expect("a p2wpkh script and an input that is there");
            let signature = bitcoin::ecdsa::Signature {
                signature: self.secp.sign_ecdsa_low_r(&Message::from(hash), &self.secret(coin.index)),
                sighash_type: EcdsaSighashType::All,
            };
            signed.input[position].witness = Witness::p2wpkh(&signature, &self.public(coin.index).0);
        }
        signed
    }
}

impl WalletSourceSync for Wallet {
    fn list_confirmed_utxos(&self) -> Result<Vec<Utxo>, ()> {
        let utxo =
            |coin: Coin| Utxo::new_v0_p2wpkh(coin.outpoint, Amount::from_sat(coin.value), &self.key_hash(coin.index));
        Ok(self.unreserved().into_iter().map(utxo).collect())
    }

    fn get_change_script(&self) -> Result<ScriptBuf, ()> {
        Ok(self.new_script())
    }

    fn sign_psbt(&self, psbt: Psbt) -> Result<Transaction, ()> {
        Ok(self.signed(psbt.extract_tx_unchecked_fee_rate()))
    }
}

impl ChangeDestinationSourceSync for Wallet {
    fn get_change_destination_script(&self) -> Result<ScriptBuf, ()> {
        Ok(self.new_script())
    }
}
