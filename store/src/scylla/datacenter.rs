//! Which datacenter is asked. A quorum of one datacenter (`LOCAL_QUORUM`) does not see what was just written to a quorum of another, so all who
//! use a history have to ask the same one; where there are several, somebody has to say which.

use scylla::cluster::metadata::Strategy;

use super::OpenError;

/// Makes sure that it is clear which datacenter is asked. `named`: the one in the settings.
pub(super) fn check(strategy: Option<&Strategy>, named: Option<&str>) -> Result<(), OpenError> {
    let Some(Strategy::NetworkTopologyStrategy { datacenter_repfactors: copies }) = strategy else {
        return Ok(());
    };
    let mut kept_in: Vec<_> =
        copies.iter().filter(|(_, copies)| **copies > 0).map(|(name, _)| name.clone()).collect();
    kept_in.sort_unstable();
    match named {
        None if kept_in.len() > 1 => Err(OpenError::NoDatacenter { kept_in }),
        Some(named) if !kept_in.iter().any(|name| name == named) => {
            Err(OpenError::OtherDatacenter { named: named.to_owned(), kept_in })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_in(copies: &[(&str, usize)]) -> Strategy {
        let datacenter_repfactors =
            copies.iter().map(|(name, copies)| ((*name).to_owned(), *copies)).collect();
        Strategy::NetworkTopologyStrategy { datacenter_repfactors }
    }

    #[test]
    fn of_several_datacenters_one_has_to_be_named() {
        let two = kept_in(&[("us", 3), ("eu", 3), ("old", 0)]);
        let error = check(Some(&two), None).unwrap_err();
        assert!(error.to_string().contains("[\"eu\", \"us\"]"), "{error}");
        assert!(check(Some(&two), Some("eu")).is_ok());
        let one = kept_in(&[("eu", 3), ("old", 0)]);
        assert!(check(Some(&one), None).is_ok());
        assert!(check(Some(&Strategy::SimpleStrategy { replication_factor: 3 }), None).is_ok());
        assert!(check(None, None).is_ok());
    }

    #[test]
    fn a_datacenter_that_has_nothing_is_refused() {
        let strategy = kept_in(&[("eu", 3), ("old", 0)]);
        assert!(check(Some(&strategy), Some("eu")).is_ok());
        for named in ["old", "EU"] {
            let error = check(Some(&strategy), Some(named)).unwrap_err();
            assert!(matches!(&error, OpenError::OtherDatacenter { named: it, .. } if it == named), "{error}");
        }
    }
}
