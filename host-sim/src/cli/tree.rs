//! Draws trees with lines: pure text.

/// Bytes of lines before a node; what is deeper is drawn at the same place, or a chain of thousands would drown in blanks.
const WIDEST: usize = 120;

/// A node to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub id: u32,
    /// The node above it, if any; a parent that is not among the nodes makes a root.
    pub parent: Option<u32>,
}

/// The order in which the nodes stand and the lines before each: `(index into nodes, prefix)`. Siblings and roots stand
/// in the order in which they are given. Nodes on a cycle, which a sound catalog does not have, are left out.
pub fn draw(nodes: &[Node]) -> Vec<(usize, String)> {
    let known: std::collections::HashMap<u32, usize> =
        nodes.iter().enumerate().map(|(index, node)| (node.id, index)).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut roots = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        match node.parent.and_then(|parent| known.get(&parent)) {
            Some(&parent) => children[parent].push(index),
            None => roots.push(index),
        }
    }
    let mut drawn = Vec::with_capacity(nodes.len());
    // What is still to be drawn: (node, lines of its ancestors, it has a line of its own, it is the last of its siblings).
    let mut stack: Vec<(usize, String, bool, bool)> =
        roots.into_iter().rev().map(|root| (root, String::new(), false, true)).collect();
    while let Some((index, before, branch, last)) = stack.pop() {
        let (own, below) = match (branch, last) {
            (false, _) => ("", ""),
            (true, true) => ("└─ ", "   "),
            (true, false) => ("├─ ", "│  "),
        };
        let below = if before.len() > WIDEST { before.clone() } else { format!("{before}{below}") };
        let count = children[index].len();
        let inner = children[index].iter().enumerate().rev();
        stack.extend(inner.map(|(nth, child)| (*child, below.clone(), true, nth + 1 == count)));
        drawn.push((index, format!("{before}{own}")));
    }
    drawn
}

/// A text made so many columns wide; wide and combining characters are taken as they are.
pub fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::{Node, draw, pad};

    fn node(id: u32, parent: impl Into<Option<u32>>) -> Node {
        Node { id, parent: parent.into() }
    }

    fn text(nodes: &[Node]) -> String {
        let lines: Vec<String> =
            draw(nodes).iter().map(|(index, prefix)| format!("{prefix}{}", nodes[*index].id)).collect();
        lines.join("\n")
    }

    #[test]
    fn a_tree_is_drawn_with_its_branches_in_order() {
        let nodes = [node(1, None), node(2, 1), node(3, 2), node(4, 2), node(5, 1), node(6, None), node(7, 99)];
        assert_eq!(text(&nodes), "1\n├─ 2\n│  ├─ 3\n│  └─ 4\n└─ 5\n6\n7");
    }

    #[test]
    fn a_child_may_have_a_smaller_number_than_its_parent() {
        assert_eq!(text(&[node(1, 3), node(3, None)]), "3\n└─ 1");
    }

    #[test]
    fn a_tree_of_ten_thousand_levels_needs_no_recursion_and_a_cycle_no_patience() {
        let deep: Vec<Node> = (0..10_000).map(|id| node(id, id.checked_sub(1))).collect();
        assert_eq!(draw(&deep).len(), 10_000);
        assert!(draw(&deep).iter().all(|(_, prefix)| prefix.chars().count() < 150));
        assert_eq!(draw(&[node(1, 2), node(2, 1)]).len(), 0);
    }

    #[test]
    fn padding_counts_characters() {
        assert_eq!(pad("└─ a", 6), "└─ a  ");
    }
}
