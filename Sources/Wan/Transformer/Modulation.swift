import Tensors

/// The six values by which a timestep modulates one block, each f32 `[dim]`.
///
/// Source: Wan2.1 wan/modules/model.py `WanAttentionBlock`.
struct BlockModulation {
    let attentionShift: Tensor
    let attentionScale: Tensor
    let attentionGate: Tensor
    let feedForwardShift: Tensor
    let feedForwardScale: Tensor
    let feedForwardGate: Tensor

    /// - Parameter row: f32 `[6 * dim]`, the block's own parameters plus the time projection.
    init(_ row: Tensor, dim: Int) {
        let parts = row.reshaped([6, dim])
        attentionShift = parts.row(0)
        attentionScale = parts.row(1)
        attentionGate = parts.row(2)
        feedForwardShift = parts.row(3)
        feedForwardScale = parts.row(4)
        feedForwardGate = parts.row(5)
    }
}
