//! Connections. Nagle's algorithm is off on each of them: LDK's sockets leave it on.

use std::net::TcpStream as StdTcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::secp256k1::PublicKey;
use lightning_net_tokio::{setup_inbound, setup_outbound};
use tokio::net::{TcpListener, TcpStream};

use crate::node::Node;
use crate::text::{refused, Outcome};

const CONNECT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

fn ready(stream: TcpStream) -> std::io::Result<StdTcpStream> {
    stream.set_nodelay(true)?;
    stream.into_std()
}

/// Take connections on a port of 127.0.0.1.
pub async fn listen(node: Arc<Node>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if let Ok(stream) = ready(stream) {
            let peers = Arc::clone(&node.peers);
            tokio::spawn(async move { setup_inbound(peers, stream).await });
        }
    }
}

/// Connect, and return when both have said `init`.
pub async fn connect(node: &Arc<Node>, peer: PublicKey, port: u16) -> Outcome<()> {
    if node.peers.peer_by_node_id(&peer).is_some() {
        return Ok(());
    }
    let stream = TcpStream::connect(("127.0.0.1", port)).await.and_then(ready).map_err(refused)?;
    let peers = Arc::clone(&node.peers);
    let connection = tokio::spawn(async move { setup_outbound(peers, peer, stream).await });
    let begun = Instant::now();
    while node.peers.peer_by_node_id(&peer).is_none() {
        if connection.is_finished() {
            return Err(refused("the peer ended the connection"));
        }
        if begun.elapsed() > CONNECT {
            return Err(refused("the peer did not say init"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
