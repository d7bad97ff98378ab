use weighbridge_model::GraphValue;

use super::*;

#[test]
fn nothing_is_made_of_nothing() {
    let (mut model, mut graph) = (Model::default(), Graph::default());
    graph.values.push(GraphValue::default());
    assert_eq!(reparameterize(&mut model, &mut graph).unwrap(), Merged::default());
}
