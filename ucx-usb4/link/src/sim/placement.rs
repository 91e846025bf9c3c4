//! Which simulated node a process stands on.

use crate::{NodeId, PlacementError};

/// Variables that carry a process's rank, in the order in which they are asked.
const RANK_VARIABLES: [&str; 4] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"];
const NODE_VARIABLE: &str = "UCX_USB4_SIM_NODE";

/// What decides the node: an explicit choice, else the rank modulo the number of nodes, else node 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The node asked for (`UCX_USB4_SIM_NODE`).
    pub node: Option<u32>,
    /// The rank that the launcher gave the process.
    pub rank: Option<u32>,
}

impl Placement {
    /// Reads the variables through `get`.
    ///
    /// # Errors
    /// [`PlacementError::NotANumber`] when `UCX_USB4_SIM_NODE` is set to something else. A launcher's rank that is not a
    /// number is passed over.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Placement, PlacementError> {
        let node = match get(NODE_VARIABLE).filter(|value| !value.is_empty()) {
            None => None,
            Some(value) => match value.trim().parse() {
                Ok(node) => Some(node),
                Err(_) => return Err(PlacementError::NotANumber { variable: NODE_VARIABLE, value }),
            },
        };
        let rank = RANK_VARIABLES.iter().find_map(|name| get(name)?.trim().parse().ok());
        Ok(Placement { node, rank })
    }

    /// Decides, for a fabric of `nodes` nodes (at least one).
    ///
    /// # Errors
    /// [`PlacementError::NoSuchNode`] when the node asked for does not exist.
    pub fn place(self, nodes: u32) -> Result<NodeId, PlacementError> {
        match self.node {
            Some(node) if node < nodes => Ok(NodeId(node)),
            Some(node) => Err(PlacementError::NoSuchNode { node, nodes }),
            None => Ok(NodeId(self.rank.unwrap_or(0) % nodes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Placement, PlacementError> {
        Placement::from_variables(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn ranks_go_round_the_nodes() {
        for (rank, node) in [("0", 0), ("1", 1), ("2", 0), ("5", 1)] {
            assert_eq!(from(&[("PMI_RANK", rank)]).unwrap().place(2), Ok(NodeId(node)));
        }
        assert_eq!(from(&[]).unwrap().place(3), Ok(NodeId(0)));
    }

    #[test]
    fn the_explicit_node_wins_and_must_exist() {
        let both = [("UCX_USB4_SIM_NODE", "1"), ("OMPI_COMM_WORLD_RANK", "4")];
        assert_eq!(from(&both).unwrap().place(2), Ok(NodeId(1)));
        let error = from(&[("UCX_USB4_SIM_NODE", "2")]).unwrap().place(2).unwrap_err();
        assert!(error.to_string().contains("0 to 1"), "{error}");
        let error = from(&[("UCX_USB4_SIM_NODE", "left")]).unwrap_err();
        assert!(error.to_string().contains("left"), "{error}");
    }

    #[test]
    fn open_mpi_is_asked_before_slurm() {
        let both = [("SLURM_PROCID", "0"), ("OMPI_COMM_WORLD_RANK", "3")];
        assert_eq!(from(&both).unwrap().rank, Some(3));
    }
}
