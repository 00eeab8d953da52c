// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether this host's firewall (nftables) lets clients in.
//!
//! `nft -j list ruleset` is read as far as rules speak of ports, protocols and interfaces. What a
//! rule asks besides (addresses, states, sets, matches of iptables) is not known here: a packet that
//! such a rule may drop is told as one that may be dropped.

use std::process::Command;

use serde_json::Value;

use super::Finding;

const CHECK: &str = "firewall";
/// Statements that decide nothing and pass every packet on (libnftables-json(5)).
const PASSING: [&str; 5] = ["counter", "log", "mangle", "notrack", "ct helper"];
/// Targets of iptables-nft that decide nothing (iptables-extensions(8)).
const XT_PASSING: [&str; 6] = ["LOG", "NFLOG", "MARK", "CONNMARK", "TRACE", "AUDIT"];
/// Chains that call chains: no ruleset of people goes deeper.
const DEEPEST: u32 = 8;

/// A packet that a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The interface by which it comes.
    pub interface: String,
    /// `udp` or `tcp`.
    pub protocol: &'static str,
    /// The port that it is for.
    pub port: u16,
    /// What for, for people.
    pub purpose: &'static str,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Accepted,
    Dropped,
    /// It depends on what is not known here.
    Unsure,
    /// A rule that cannot be read here may have accepted it; else none has decided.
    Passed,
    /// No rule has decided.
    Open,
}

/// Whether a rule is about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    Unknown,
}

/// Reads the rules, and follows the packets.
pub fn look(packets: &[Packet]) -> Vec<Finding> {
    let output = match Command::new("nft").args(["-j", "list", "ruleset"]).output() {
        Ok(output) if output.status.success() => output.stdout,
        Ok(_) => {
            return vec![Finding::skipped(CHECK, "rules can be read by root only")];
        }
        Err(_) => {
            return vec![Finding::skipped(
                CHECK,
                "no nft here; other firewalls (iptables-legacy) are not looked at",
            )];
        }
    };
    match serde_json::from_slice(&output) {
        Ok(rules) => judge(&rules, packets),
        Err(error) => vec![Finding::skipped(
            CHECK,
            format!("nft speaks strangely: {error}"),
        )],
    }
}

/// What the rules do to the packets.
fn judge(ruleset: &Value, packets: &[Packet]) -> Vec<Finding> {
    let objects = Vec::new();
    let objects = ruleset["nftables"].as_array().unwrap_or(&objects);
    let input: Vec<&Value> = objects
        .iter()
        .filter_map(|object| object.get("chain"))
        .filter(|chain| chain["hook"] == "input" || chain["hook"] == "prerouting")
        .filter(|chain| chain["type"] == "filter")
        .collect();
    let mut findings = Vec::new();
    for packet in packets {
        let mut fate = Fate::Accepted;
        let mut place = String::new();
        for chain in &input {
            let of_chain = match walk(objects, chain, packet, DEEPEST) {
                Fate::Open if chain["policy"] == "drop" => Fate::Dropped,
                Fate::Passed if chain["policy"] == "drop" => Fate::Unsure,
                Fate::Open | Fate::Passed => Fate::Accepted,
                decided => decided,
            };
            let worse = of_chain == Fate::Dropped || fate == Fate::Accepted;
            if of_chain != Fate::Accepted && worse {
                fate = of_chain;
                let text = |key: &str| chain[key].as_str().unwrap_or("?").to_owned();
                place = format!("{} {} {}", text("family"), text("table"), text("name"));
            }
        }
        let Packet {
            interface,
            protocol,
            port,
            purpose,
        } = packet;
        // What iptables manages is not to be touched by nft (its own word, in `nft list ruleset`).
        let remedy = if place == "ip filter INPUT" {
            format!("iptables -I INPUT -i {interface} -p {protocol} --dport {port} -j ACCEPT")
        } else {
            format!("nft insert rule {place} iifname {interface} {protocol} dport {port} accept")
        };
        match fate {
            Fate::Dropped => findings.push(Finding::problem(
                CHECK,
                format!("{protocol} {port} ({purpose}) is dropped by chain {place}"),
                remedy,
            )),
            Fate::Unsure => findings.push(Finding::warning(
                CHECK,
                format!("{protocol} {port} ({purpose}) may be dropped by chain {place}"),
                remedy,
            )),
            Fate::Accepted | Fate::Open | Fate::Passed => {}
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "nftables lets clients in"));
    }
    findings
}

fn walk(objects: &[Value], chain: &Value, packet: &Packet, depth: u32) -> Fate {
    let same = |rule: &&Value| {
        rule["family"] == chain["family"]
            && rule["table"] == chain["table"]
            && rule["chain"] == chain["name"]
    };
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    let mut unsure = false;
    // Whether a rule that cannot be read may have accepted it.
    let mut passed = false;
    for rule in rules.filter(same) {
        let Some(parts) = rule["expr"].as_array() else {
            continue;
        };
        let mut about = Match::Yes;
        // Whether something in it cannot be read, which may be its verdict.
        let (mut unread, mut over) = (false, false);
        for part in parts {
            let fate = if let Some(what) = part.get("match") {
                match is_about(what, packet) {
                    Match::Yes => continue,
                    Match::Unknown => {
                        about = Match::Unknown;
                        continue;
                    }
                    Match::No => {
                        over = true;
                        break;
                    }
                }
            } else if part.get("accept").is_some() {
                Fate::Accepted
            } else if part.get("drop").is_some() || part.get("reject").is_some() {
                Fate::Dropped
            } else if part.get("return").is_some() {
                Fate::Open
            } else if let Some(target) = part
                .get("jump")
                .or_else(|| part.get("goto"))
                .and_then(|to| to["target"].as_str())
            {
                let called = objects
                    .iter()
                    .filter_map(|object| object.get("chain"))
                    .find(|other| {
                        other["name"] == target
                            && other["table"] == chain["table"]
                            && other["family"] == chain["family"]
                    });
                match called {
                    Some(called) if depth > 0 => match walk(objects, called, packet, depth - 1) {
                        Fate::Open => {
                            over = true;
                            break;
                        }
                        Fate::Passed => {
                            (passed, over) = (true, true);
                            break;
                        }
                        fate => fate,
                    },
                    _ => Fate::Unsure,
                }
            } else if part.get("vmap").is_some() {
                Fate::Unsure
            } else if PASSING.iter().any(|name| part.get(name).is_some()) {
                continue;
            } else if is_xt(part, "target", &["REJECT"]) {
                Fate::Dropped
            } else if is_xt(part, "target", &XT_PASSING) || is_xt(part, "match", &["comment"]) {
                continue;
            } else {
                // A limit passes some packets on, and what iptables asks (`xt`), of which no more than the
                // name is told, passes some, or none, or is a verdict itself.
                unread |= part.get("limit").is_none();
                about = Match::Unknown;
                continue;
            };
            over = true;
            passed |= unread && fate == Fate::Accepted;
            match (about, fate) {
                (Match::Yes, Fate::Dropped) if passed => return Fate::Unsure,
                (Match::Yes, Fate::Accepted | Fate::Dropped) if !unsure => return fate,
                (Match::Yes, Fate::Open) => return if unsure { Fate::Unsure } else { Fate::Open },
                // What may be accepted before need not be; what may be dropped may.
                (Match::Yes, Fate::Accepted) => return Fate::Unsure,
                (Match::Yes, Fate::Dropped) => return Fate::Dropped,
                (_, Fate::Dropped | Fate::Unsure) => unsure = true,
                _ => {}
            }
            break;
        }
        unsure |= unread && !over;
    }
    match (unsure, passed) {
        (true, _) => Fate::Unsure,
        (false, true) => Fate::Passed,
        (false, false) => Fate::Open,
    }
}

/// Whether this is one of these matches or targets of iptables. nft before 1.0.3 does not tell which.
fn is_xt(part: &Value, kind: &str, names: &[&str]) -> bool {
    let xt = &part["xt"];
    xt["type"] == kind
        && xt["name"]
            .as_str()
            .is_some_and(|name| names.contains(&name))
}

fn is_about(what: &Value, packet: &Packet) -> Match {
    let (left, right) = (&what["left"], &what["right"]);
    let equal = match what["op"].as_str() {
        Some("==" | "in") => true,
        Some("!=") => false,
        _ => return Match::Unknown,
    };
    let found = if let Some(payload) = left.get("payload") {
        let protocol = payload["protocol"].as_str().unwrap_or_default();
        match (protocol, payload["field"].as_str()) {
            ("udp" | "tcp" | "th", Some("dport")) => {
                if protocol != "th" && protocol != packet.protocol {
                    // The rule is about another protocol, whatever it asks.
                    return Match::No;
                }
                holds_number(right, packet.port)
            }
            ("udp" | "tcp" | "icmp" | "icmpv6" | "igmp", _) if protocol != packet.protocol => {
                return Match::No;
            }
            ("ip", Some("protocol")) => holds_text(right, packet.protocol),
            ("ip6", _) => return Match::No,
            _ => None,
        }
    } else if let Some(meta) = left.get("meta") {
        match meta["key"].as_str() {
            Some("iifname" | "iif") => holds_text(right, &packet.interface),
            Some("l4proto") => holds_text(right, packet.protocol),
            Some("nfproto") => holds_text(right, "ipv4"),
            _ => None,
        }
    } else if left.get("ct").is_some_and(|ct| ct["key"] == "state") {
        // A client's first packet.
        holds_text(right, "new")
    } else {
        None
    };
    match found {
        Some(found) if found == equal => Match::Yes,
        Some(_) => Match::No,
        None => Match::Unknown,
    }
}

/// Whether a number is meant by a value, a set or a range; `None`: not known.
fn holds_number(value: &Value, number: u16) -> Option<bool> {
    if let Some(one) = value.as_u64() {
        return Some(one == u64::from(number));
    }
    if let Some([first, last]) = value["range"].as_array().map(Vec::as_slice) {
        let (first, last) = (first.as_u64()?, last.as_u64()?);
        return Some((first..=last).contains(&number.into()));
    }
    let set = value["set"].as_array()?;
    set.iter().try_fold(false, |found, one| {
        Some(found || holds_number(one, number)?)
    })
}

/// The same for a word; interfaces may end in `*`.
fn holds_text(value: &Value, text: &str) -> Option<bool> {
    if let Some(one) = value.as_str() {
        if one.starts_with('@') {
            return None;
        }
        return Some(match one.strip_suffix('*') {
            Some(prefix) => text.starts_with(prefix),
            None => one == text,
        });
    }
    let set = value["set"].as_array().or(value.as_array())?;
    set.iter()
        .try_fold(false, |found, one| Some(found || holds_text(one, text)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Level;
    use super::*;

    fn packet(protocol: &'static str, port: u16) -> Packet {
        Packet {
            interface: "eth0".to_owned(),
            protocol,
            port,
            purpose: "test",
        }
    }

    fn ruleset(policy: &str, rules: &[Value]) -> Value {
        let mut objects = vec![json!({"chain": {
            "family": "inet", "table": "filter", "name": "input",
            "type": "filter", "hook": "input", "policy": policy,
        }})];
        for expr in rules {
            objects.push(json!({"rule": {
                "family": "inet", "table": "filter", "chain": "input", "expr": expr,
            }}));
        }
        json!({ "nftables": objects })
    }

    fn dport(protocol: &str, right: &Value) -> Value {
        json!({"match": {"op": "==", "right": right,
            "left": {"payload": {"protocol": protocol, "field": "dport"}}}})
    }

    fn level(rules: &Value, packet: Packet) -> Level {
        judge(rules, &[packet])[0].level
    }

    #[test]
    fn rules_are_followed_in_their_order() {
        let open = ruleset("accept", &[]);
        assert_eq!(level(&open, packet("udp", 67)), Level::Ok);
        let shut = ruleset("drop", &[]);
        let found = judge(&shut, &[packet("udp", 67)]);
        assert_eq!(found[0].level, Level::Problem);
        assert_eq!(
            found[0].remedy.as_deref(),
            Some("nft insert rule inet filter input iifname eth0 udp dport 67 accept")
        );
        let accept = json!({ "accept": null });
        let some = ruleset(
            "drop",
            &[
                json!([
                    dport("udp", &json!({"set": [67, {"range": [10000, 10010]}]})),
                    accept
                ]),
                json!([dport("tcp", &json!(8080)), accept]),
            ],
        );
        assert_eq!(level(&some, packet("udp", 67)), Level::Ok);
        assert_eq!(level(&some, packet("udp", 10005)), Level::Ok);
        assert_eq!(level(&some, packet("udp", 8080)), Level::Problem);
        assert_eq!(level(&some, packet("tcp", 8080)), Level::Ok);
        let dropped = ruleset(
            "accept",
            &[json!([dport("udp", &json!(69)), {"drop": null}])],
        );
        assert_eq!(level(&dropped, packet("udp", 69)), Level::Problem);
        assert_eq!(level(&dropped, packet("udp", 67)), Level::Ok);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let from = json!({"match": {"op": "==", "right": "10.0.0.1",
            "left": {"payload": {"protocol": "ip", "field": "saddr"}}}});
        let may = ruleset("accept", &[json!([from, {"drop": null}])]);
        assert_eq!(level(&may, packet("udp", 67)), Level::Warning);
        // What may be accepted, and is dropped else, is as good as dropped.
        let must = ruleset("drop", &[json!([from, {"accept": null}])]);
        assert_eq!(level(&must, packet("udp", 67)), Level::Problem);
        // Packets of connections under way are not a client's first.
        let state = json!({"match": {"op": "in", "right": ["established", "related"],
            "left": {"ct": {"key": "state"}}}});
        let usual = ruleset("drop", &[json!([state, {"accept": null}])]);
        assert_eq!(level(&usual, packet("udp", 67)), Level::Problem);
    }

    /// As iptables-nft leaves its rules: what it asks stands there as `xt`, and what it asks is not.
    #[test]
    fn what_iptables_asks_is_not_known() {
        let xt = json!({ "xt": null });
        let counter = json!({"counter": {"packets": 0, "bytes": 0}});
        let rule = |policy: &str, parts: &[Value]| ruleset(policy, &[Value::from(parts)]);
        // -m string --string x -j ACCEPT; -P DROP
        let some = rule(
            "drop",
            &[xt.clone(), counter.clone(), json!({"accept": null})],
        );
        assert_eq!(level(&some, packet("udp", 67)), Level::Warning);
        // -m comment --comment shut -j DROP
        let shut = rule(
            "accept",
            &[xt.clone(), counter.clone(), json!({"drop": null})],
        );
        assert_eq!(level(&shut, packet("udp", 67)), Level::Warning);
        // -p udp --dport 67 -j REJECT, which is iptables' own.
        let reject = [dport("udp", &json!(67)), counter.clone(), xt.clone()];
        let reject = rule("accept", &reject);
        assert_eq!(level(&reject, packet("udp", 67)), Level::Warning);
        assert_eq!(level(&reject, packet("udp", 69)), Level::Ok);
        // Then everything that is left is dropped by a rule, not by the policy.
        let last = [
            json!([xt, {"accept": null}]),
            json!([counter, {"drop": null}]),
        ];
        assert_eq!(
            level(&ruleset("accept", &last), packet("udp", 67)),
            Level::Warning
        );
        let queue = ruleset("accept", &[json!([{"queue": {"num": 1}}])]);
        assert_eq!(level(&queue, packet("udp", 67)), Level::Warning);
        // Nothing of this is what nft says itself.
        let log = ruleset(
            "drop",
            &[json!([{"log": {"prefix": "x"}}, {"accept": null}])],
        );
        assert_eq!(level(&log, packet("udp", 67)), Level::Ok);
    }

    #[test]
    fn chains_are_called() {
        let mut rules = ruleset("drop", &[json!([{"jump": {"target": "lan"}}])]);
        let objects = rules["nftables"].as_array_mut().unwrap();
        objects.push(json!({"chain": {"family": "inet", "table": "filter", "name": "lan"}}));
        let iif =
            json!({"match": {"op": "==", "right": "eth*", "left": {"meta": {"key": "iifname"}}}});
        objects.push(
            json!({"rule": {"family": "inet", "table": "filter", "chain": "lan",
            "expr": [iif, {"accept": null}]}}),
        );
        assert_eq!(level(&rules, packet("udp", 67)), Level::Ok);
        let mut other = packet("udp", 67);
        other.interface = "wlan0".to_owned();
        assert_eq!(level(&rules, other), Level::Problem);
    }
}
