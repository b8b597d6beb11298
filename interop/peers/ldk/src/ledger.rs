//! What the chain says about us, block by block: coins of the wallet, and which funding outputs were spent by what.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Mutex;

use bitcoin::block::Header;
use bitcoin::{BlockHash, OutPoint, ScriptBuf, Transaction, Txid};
use lightning::chain::transaction::TransactionData;
use lightning::chain::{BestBlock, Listen};
use serde_json::{json, Value};

const COINBASE_MATURITY: u32 = 100;

#[derive(Clone, Copy)]
pub struct Coin {
    pub outpoint: OutPoint,
    pub value: u64,
    pub index: u32,
    height: u32,
    is_coinbase: bool,
    spent_height: Option<u32>,
}

/// What spent a funding output. height: None while we only published it.
#[derive(Clone, Copy)]
struct Closing {
    txid: Txid,
    height: Option<u32>,
}

struct State {
    best: BestBlock,
    coins: Vec<Coin>,
    fundings: HashMap<OutPoint, Option<Closing>>,
    scripts: HashMap<ScriptBuf, u32>,
    next_index: u32,
}

pub struct Ledger {
    path: PathBuf,
    state: Mutex<State>,
}

impl Ledger {
    /// Read the ledger, or begin one at `best`.
    pub fn open(path: PathBuf, best: BestBlock) -> Self {
        let mut state =
            State { best, coins: Vec::new(), fundings: HashMap::new(), scripts: HashMap::new(), next_index: 0 };
        if let Ok(raw) = fs::read(&path) {
            let stored: Value = serde_json::from_slice(&raw).expect("a ledger is replaced whole, never cut");
            state.load(&stored).expect("a ledger of this program");
        }
        Self { path, state: Mutex::new(state) }
    }

    pub fn best(&self) -> BestBlock {
        self.state.lock().unwrap().best
    }

    /// Take the next unused key.
    pub fn take_index(&self) -> u32 {
        let mut state = self.state.lock().unwrap();
        state.next_index += 1;
        state.store(&self.path);
        state.next_index - 1
    }

    pub fn next_index(&self) -> u32 {
        self.state.lock().unwrap().next_index
    }

    /// Look for payments to this script of the key with that index.
    pub fn watch_script(&self, script: ScriptBuf, index: u32) {
        self.state.lock().unwrap().scripts.insert(script, index);
    }

    pub fn watch_funding(&self, outpoint: OutPoint) {
        let mut state = self.state.lock().unwrap();
        state.fundings.entry(outpoint).or_insert(None);
        state.store(&self.path);
    }

    /// Coins that are confirmed, mature and not spent in a block.
    pub fn coins(&self) -> Vec<Coin> {
        let state = self.state.lock().unwrap();
        let ripe = |coin: &&Coin| !coin.is_coinbase || coin.height + COINBASE_MATURITY <= state.best.height + 1;
        state.coins.iter().filter(|coin| coin.spent_height.is_none()).filter(ripe).copied().collect()
    }

    /// Any coin that ever was, to sign for it.
    pub fn coin(&self, outpoint: &OutPoint) -> Option<Coin> {
        self.state.lock().unwrap().coins.iter().find(|coin| coin.outpoint == *outpoint).copied()
    }

    /// Transactions of ours that the chain service took: does one spend a funding output?
    pub fn published(&self, transactions: &[Transaction]) {
        let mut state = self.state.lock().unwrap();
        for transaction in transactions {
            state.note_closing(transaction, None);
        }
    }

    /// Funding outpoint and closing txid of channels that were spent.
    pub fn closed(&self) -> Vec<(OutPoint, Txid)> {
        let state = self.state.lock().unwrap();
        state.fundings.iter().filter_map(|(at, closing)| closing.map(|closing| (*at, closing.txid))).collect()
    }
}

impl State {
    fn note_closing(&mut self, transaction: &Transaction, height: Option<u32>) {
        for input in &transaction.input {
            if let Some(closing) = self.fundings.get_mut(&input.previous_output) {
                if height.is_some() || closing.is_none() {
                    *closing = Some(Closing { txid: transaction.compute_txid(), height });
                }
            }
        }
    }

    fn connect(&mut self, txdata: &TransactionData, height: u32) {
        for (position, transaction) in txdata {
            for input in &transaction.input {
                if let Some(coin) = self.coins.iter_mut().find(|coin| coin.outpoint == input.previous_output) {
                    coin.spent_height = Some(height);
                }
            }
            self.note_closing(transaction, Some(height));
            for (vout, output) in transaction.output.iter().enumerate() {
                let Some(&index) = self.scripts.get(&output.script_pubkey) else { continue };
                let outpoint = OutPoint::new(transaction.compute_txid(), vout as u32);
                if self.coins.iter().all(|coin| coin.outpoint != outpoint) {
                    let value = output.value.to_sat();
                    let is_coinbase = *position == 0;
                    self.coins.push(Coin { outpoint, value, index, height, is_coinbase, spent_height: None });
                }
            }
        }
    }

    fn disconnect(&mut self, fork: BestBlock) {
        self.coins.retain(|coin| coin.height <= fork.height);
        for coin in &mut self.coins {
            coin.spent_height = coin.spent_height.filter(|height| *height <= fork.height);
        }
        for closing in self.fundings.values_mut() {
            *closing = closing.filter(|one| one.height.is_none_or(|height| height <= fork.height));
        }
        self.best = fork;
    }

    fn store(&self, path: &PathBuf) {
        let coins: Vec<Value> = self
            .coins
            .iter()
            .map(|coin| {
                json!([
                    coin.outpoint.to_string(),
                    coin.value,
                    coin.index,
                    coin.height,
                    coin.is_coinbase,
                    coin.spent_height
                ])
            })
            .collect();
        let fundings: Vec<Value> = self
            .fundings
            .iter()
            .map(|(at, closing)| {
                json!([at.to_string(), closing.map(|one| one.txid.to_string()), closing.and_then(|one| one.height)])
            })
            .collect();
        let whole = json!({
            "best": [self.best.block_hash.to_string(), self.best.height],
            "next_index": self.next_index,
            "coins": coins,
            "fundings": fundings,
        });
        let fresh = path.with_extension("new");
        fs::write(&fresh, whole.to_string()).expect("the data folder can be written");
        fs::rename(&fresh, path).expect("the data folder can be written");
    }

    fn load(&mut self, stored: &Value) -> Option<()> {
        let hash = BlockHash::from_str(stored["best"][0].as_str()?).ok()?;
        self.best = BestBlock::new(hash, stored["best"][1].as_u64()? as u32);
        self.next_index = stored["next_index"].as_u64()? as u32;
        for one in stored["coins"].as_array()? {
            self.coins.push(Coin {
                outpoint: OutPoint::from_str(one[0].as_str()?).ok()?,
                value: one[1].as_u64()?,
                index: one[2].as_u64()? as u32,
                height: one[3].as_u64()? as u32,
                is_coinbase: one[4].as_bool()?,
                spent_height: one[5].as_u64().map(|height| height as u32),
            });
        }
        for one in stored["fundings"].as_array()? {
            let closing = one[1].as_str().and_then(|txid| Txid::from_str(txid).ok());
            let height = one[2].as_u64().map(|height| height as u32);
            let outpoint = OutPoint::from_str(one[0].as_str()?).ok()?;
            self.fundings.insert(outpoint, closing.map(|txid| Closing { txid, height }));
        }
        Some(())
    }
}

impl Listen for Ledger {
    fn filtered_block_connected(&self, header: &Header, txdata: &TransactionData, height: u32) {
        let mut state = self.state.lock().unwrap();
        state.connect(txdata, height);
        state.best = BestBlock::new(header.block_hash(), height);
        state.store(&self.path);
    }

    fn blocks_disconnected(&self, fork: BestBlock) {
        let mut state = self.state.lock().unwrap();
        state.disconnect(fork);
        state.store(&self.path);
    }
}
