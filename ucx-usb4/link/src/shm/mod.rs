//! Memory shared with other processes: the only unsafe code of the simulated cable stands in `mapping`,
//! `cells` and `frames`; `ring` is safe code over them.
//!
//! # Barriers
//!
//! | letter | where | partner | what breaks without it |
//! |---|---|---|---|
//! | (A) | producer: release store of a cell's first word | (B) | the receiver sees the sequence before header and payload, and reads the last lap's |
//! | (B) | consumer: acquire load of a cell's first word | (A) | the same, from the receiver's side |
//! | (C) | receiver: `sleeping = 1`, heavy barrier, then look at the rings | (D) | both look before the other's store is visible: the frame lies there and the receiver sleeps |
//! | (D) | sender: cell written (A), light barrier, then read `sleeping` | (C) | the same |
//! | (E) | consumer: release store of the consumed count | (F) | the producer overwrites a cell that is still being read |
//! | (F) | producer: acquire load of the consumed count | (E) | the same |
//!
//! (C) is membarrier(2), which makes every running sender pass a full barrier; so (D), on the path of every
//! frame, is a compiler barrier only. Where membarrier is not to be had both are full fences.

pub(crate) mod cells;
pub(crate) mod frames;
pub(crate) mod mapping;
pub(crate) mod ring;
