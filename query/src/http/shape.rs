//! A response in the shape that the specification gives it.
//!
//! async-graphql 7.2 writes the fields of an object in the order in which their resolvers finish, and leaves a root field
//! out whose arguments could not be read. The specification wants the order of the document, and null.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned, Response, Value,
    indexmap::IndexMap,
    parser::types::{Directive, FragmentDefinition, OperationType, Selection, SelectionSet},
};

/// What of a document is needed to shape its response.
pub struct Shape {
    operation_type: OperationType,
    root: SelectionSet,
    fragments: HashMap<Name, Positioned<FragmentDefinition>>,
}

/// The selections of one response key: a key may be selected several times, and then they are merged.
type Keys<'a> = IndexMap<&'a Name, Vec<&'a SelectionSet>>;

impl Shape {
    pub fn new(
        operation_type: OperationType,
        root: SelectionSet,
        fragments: HashMap<Name, Positioned<FragmentDefinition>>,
    ) -> Self {
        Self {
            operation_type,
            root,
            fragments,
        }
    }

    /// The response of an operation that was executed.
    pub fn shaped(&self, mut response: Response) -> Response {
        let data = std::mem::take(&mut response.data);
        response.data = match self.operation_type {
            OperationType::Query | OperationType::Mutation => self.whole(data),
            // An event that could not be made has no data.
            OperationType::Subscription => self.ordered(data, &[&self.root]),
        };
        response
    }

    /// Every root field in the document's order, null where it failed: all of ours are nullable.
    fn whole(&self, data: Value) -> Value {
        let mut fields = match data {
            Value::Object(fields) => fields,
            // Written when no field succeeded.
            Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_)
            | Value::List(_) => IndexMap::new(),
        };
        for key in self.certain(&self.root) {
            fields.entry(key.clone()).or_insert(Value::Null);
        }
        self.ordered(Value::Object(fields), &[&self.root])
    }

    /// The response keys of a root selection that no directive takes out.
    fn certain<'a>(&'a self, set: &'a SelectionSet) -> Vec<&'a Name> {
        let mut keys = Vec::new();
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) if is_certain(&field.node.directives) => {
                    keys.push(&field.node.response_key().node);
                }
                Selection::InlineFragment(fragment) if is_certain(&fragment.node.directives) => {
                    keys.extend(self.certain(&fragment.node.selection_set.node));
                }
                Selection::FragmentSpread(spread) if is_certain(&spread.node.directives) => {
                    if let Some(fragment) = self.fragments.get(&spread.node.fragment_name.node) {
                        keys.extend(self.certain(&fragment.node.selection_set.node));
                    }
                }
                Selection::Field(_)
                | Selection::InlineFragment(_)
                | Selection::FragmentSpread(_) => {}
            }
        }
        keys
    }

    /// The same value with the fields of every object in the document's order.
    fn ordered(&self, value: Value, sets: &[&SelectionSet]) -> Value {
        // A scalar may be an object too; nothing is selected of it.
        if sets.iter().all(|set| set.items.is_empty()) {
            return value;
        }
        match value {
            Value::Object(mut fields) => {
                let mut ordered = IndexMap::with_capacity(fields.len());
                for (key, below) in self.keys(sets) {
                    // A fragment on another type selects keys that this object has not.
                    if let Some(value) = fields.swap_remove(key) {
                        ordered.insert(key.clone(), self.ordered(value, &below));
                    }
                }
                Value::Object(ordered)
            }
            Value::List(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| self.ordered(item, sets))
                    .collect(),
            ),
            leaf @ (Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_)) => leaf,
        }
    }

    fn keys<'a>(&'a self, sets: &[&'a SelectionSet]) -> Keys<'a> {
        let mut keys = Keys::new();
        for set in sets {
            self.collect(set, &mut keys);
        }
        keys
    }

    fn collect<'a>(&'a self, set: &'a SelectionSet, keys: &mut Keys<'a>) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let key = &field.node.response_key().node;
                    keys.entry(key)
                        .or_default()
                        .push(&field.node.selection_set.node);
                }
                Selection::InlineFragment(fragment) => {
                    self.collect(&fragment.node.selection_set.node, keys);
                }
                Selection::FragmentSpread(spread) => {
                    // The document was validated before: fragments exist and do not contain themselves.
                    if let Some(fragment) = self.fragments.get(&spread.node.fragment_name.node) {
                        self.collect(&fragment.node.selection_set.node, keys);
                    }
                }
            }
        }
    }
}

fn is_certain(directives: &[Positioned<Directive>]) -> bool {
    let conditional = |name: &str| name == "skip" || name == "include";
    !directives
        .iter()
        .any(|directive| conditional(&directive.node.name.node))
}
