import Tensors

/// How self-attention is computed. Cross-attention is always dense.
public enum AttentionKind: Sendable, Hashable {
    /// Every token attends to every token.
    case dense
    /// Chosen blocks of keys, and a linear branch for the rest.
    case sparseLinear(SparseAttentionOptions)
}
