//! Messages of types outside the BOLTs, in and out.

use std::collections::VecDeque;
use std::sync::Mutex;

use bitcoin::secp256k1::PublicKey;
use lightning::io;
use lightning::ln::msgs::{DecodeError, Init, LightningError};
use lightning::ln::peer_handler::CustomMessageHandler;
use lightning::ln::wire::{CustomMessageReader, Type};
use lightning::types::features::{InitFeatures, NodeFeatures};
use lightning::util::ser::{LengthLimitedRead, Writeable, Writer};

const FIRST_CUSTOM: u16 = 32768;

#[derive(Clone, Debug)]
pub struct CustomMessage {
    pub message_type: u16,
    pub payload: Vec<u8>,
}

impl Type for CustomMessage {
    fn type_id(&self) -> u16 {
        self.message_type
    }
}

impl Writeable for CustomMessage {
    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), io::Error> {
        writer.write_all(&self.payload)
    }
}

#[derive(Default)]
pub struct Messages {
    pub received: Mutex<Vec<(PublicKey, CustomMessage)>>,
    to_send: Mutex<VecDeque<(PublicKey, CustomMessage)>>,
}

impl Messages {
    /// Have a message sent at the peer manager's next turn.
    pub fn send(&self, node_id: PublicKey, message: CustomMessage) {
        self.to_send.lock().unwrap().push_back((node_id, message));
    }
}

impl CustomMessageReader for Messages {
    type CustomMessage = CustomMessage;

    fn read<R: LengthLimitedRead>(
        &self, message_type: u16, buffer: &mut R,
    ) -> Result<Option<CustomMessage>, DecodeError> {
        if message_type < FIRST_CUSTOM {
            return Ok(None);
        }
        let mut payload = vec![0; buffer.remaining_bytes() as usize];
        io::Read::read_exact(buffer, &mut payload).map_err(|_| DecodeError::ShortRead)?;
        Ok(Some(CustomMessage { message_type, payload }))
    }
}

impl CustomMessageHandler for Messages {
    fn handle_custom_message(&self, message: CustomMessage, sender: PublicKey) -> Result<(), LightningError> {
        self.received.lock().unwrap().push((sender, message));
        Ok(())
    }

    fn get_and_clear_pending_msg(&self) -> Vec<(PublicKey, CustomMessage)> {
        self.to_send.lock().unwrap().drain(..).collect()
    }

    fn peer_disconnected(&self, _node_id: PublicKey) {}

    fn peer_connected(&self, _node_id: PublicKey, _init: &Init, _inbound: bool) -> Result<(), ()> {
        Ok(())
    }

    fn provided_node_features(&self) -> NodeFeatures {
        NodeFeatures::empty()
    }

    fn provided_init_features(&self, _node_id: PublicKey) -> InitFeatures {
        InitFeatures::empty()
    }
}
