//! The counters that each channel writes when it closes (`UCX_USB4_STATS`).

use std::path::Path;

/// One line of the file: one channel. Bytes are payload.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct ChannelStats {
    /// The simulated node.
    pub node: u32,
    /// Number of the channel on that node.
    pub channel: u32,
    /// The process that opened it.
    pub pid: u32,
    /// Frames sent.
    pub tx_frames: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames received.
    pub rx_frames: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames sent again.
    pub retransmits: u64,
}

/// What all channels of a job moved.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// One entry for each channel that was closed.
    pub channels: Vec<ChannelStats>,
}

impl Traffic {
    /// Reads the file; none: no channel was opened.
    ///
    /// # Panics
    /// If a line is not what a channel writes.
    #[must_use]
    pub fn read(path: &Path) -> Traffic {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        Traffic { channels: text.lines().map(parse).collect() }
    }

    /// Bytes that all channels sent.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.channels.iter().map(|channel| channel.tx_bytes).sum()
    }

    /// Frames that were sent again.
    #[must_use]
    pub fn retransmits(&self) -> u64 {
        self.channels.iter().map(|channel| channel.retransmits).sum()
    }

    /// The nodes that sent something, in order.
    #[must_use]
    pub fn sending_nodes(&self) -> Vec<u32> {
        let mut nodes: Vec<u32> =
            self.channels.iter().filter(|channel| channel.tx_bytes > 0).map(|channel| channel.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats");
        let line = |node: u32, tx: u64| {
            format!(
                "{{\"node\":{node},\"channel\":1,\"pid\":9,\"tx_frames\":1,\"tx_bytes\":{tx},\"rx_frames\":2,\
                 \"rx_bytes\":3,\"retransmits\":4,\"another\":5}}\n"
            )
        };
        std::fs::write(&path, [line(1, 10), line(0, 20), line(2, 0)].concat()).unwrap();
        let traffic = Traffic::read(&path);
        assert_eq!((traffic.sent_bytes(), traffic.retransmits()), (30, 12));
        assert_eq!(traffic.sending_nodes(), [0, 1]);
        assert!(Traffic::read(&folder.path().join("none")).channels.is_empty());
    }
}
