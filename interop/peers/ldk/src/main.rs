//! An LDK node driven by JSON lines: the first line on standard input is its options, each further one a request
//! `{id, method, params}`; answers `{id, result}` or `{id, error: {kind, text}}` come on standard output, in any order,
//! the log on standard error. It ends when standard input does, or at the request `stop`.

mod boot;
mod chain;
mod channels;
mod commands;
mod events;
mod ledger;
mod log;
mod messages;
mod net;
mod node;
mod payments;
mod records;
mod routes;
mod signer;
mod store;
mod text;
mod turns;
mod types;
mod wallet;

use std::sync::Arc;

use serde_json::{json, Value};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use crate::node::Node;
use crate::text::Params;

#[tokio::main(worker_threads = 4)]
async fn main() {
    // LDK panics when it must not go on: then nothing else does either.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let first = lines.next_line().await.ok().flatten().expect("the first line is the options");
    let options = boot::Options::read(&first).expect("the options are whole");
    let node = match boot::boot(options).await {
        Ok(node) => node,
        Err(error) => {
            eprintln!("cannot start: {error}");
            std::process::exit(1);
        }
    };
    let (answers, mut outgoing) = mpsc::unbounded_channel::<String>();
    tokio::spawn(async move {
        let mut output = tokio::io::stdout();
        while let Some(line) = outgoing.recv().await {
            output.write_all(line.as_bytes()).await.expect("the driver reads answers");
            output.flush().await.expect("the driver reads answers");
        }
    });
    let _ = answers.send(json!({"id": 0, "result": "started"}).to_string() + "\n");
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(request) = serde_json::from_str::<Value>(&line) else { continue };
        if request["method"] == "stop" {
            break;
        }
        let (node, answers) = (Arc::clone(&node), answers.clone());
        tokio::spawn(async move { answer(&node, request, &answers).await });
    }
    node.peers.disconnect_all_peers();
    node.durable().await;
    std::process::exit(0);
}

async fn answer(node: &Arc<Node>, mut request: Value, answers: &mpsc::UnboundedSender<String>) {
    let id = request["id"].take();
    let params = Params(request["params"].take());
    let method = request["method"].as_str().unwrap_or_default().to_string();
    let line = match commands::call(node, &method, &params).await {
        Ok(result) => json!({"id": id, "result": result}),
        Err(refusal) => json!({"id": id, "error": {"kind": refusal.kind, "text": refusal.text}}),
    };
    let _ = answers.send(line.to_string() + "\n");
}
