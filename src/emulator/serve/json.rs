use serde::{Serialize, de::DeserializeOwned};

use super::answer::{Answer, Exception, JSON, ok};

/// Reads a value; what is wrong is told with the field that it is in.
pub(in crate::emulator) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// 200 with a value, to be read by people as well.
pub(in crate::emulator) fn page(value: &impl Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(body) => ok(JSON, body),
        Err(error) => Exception::Internal.answer(&error.to_string()),
    }
}
