import CKernels
import Tensors

extension CPUBackend {
    public func footprint(of layer: LayerShape) -> LayerFootprint {
        func bias(_ count: Int, _ hasBias: Bool) -> Int { hasBias ? count * 4 : 0 }
        switch layer {
        case .linear(let output, let input, let stored, let hasBias, let precision):
            let blocks = (output + 127) / 128 * ((input + 127) / 128)
            let own: Int
            switch (stored, precision) {
            case (.i8, .float): own = panelBytes(output, input)
            case (.i8, _), (_, .int8): own = output * input + blocks * 4
            case (.bf16, _): own = output * input * 2
            default: own = panelBytes(output, input)
            }
            return LayerFootprint(held: own + bias(output, hasBias))
        case .convolution(let shape, _, let hasBias):
            return LayerFootprint(
                held: panelBytes(shape[0], shape.dropFirst().reduce(1, *)) + bias(shape[0], hasBias))
        case .table(let count, _): return LayerFootprint(held: count * 4)
        }
    }

    private func panelBytes(_ rows: Int, _ columns: Int) -> Int { max(4, kernels.panel_floats(columns, rows) * 4) }

    public func scratchBytes(of operation: OperationShape) -> Int {
        switch operation {
        case .linear(let rows, let input, _, let precision, _):
            precision == .int8 ? rows * (input + 127) / 128 * 128 * kernels.code_bytes : 0
        case .feedForward(_, let rows, let dim, let hidden, let precision):
            OperationShape.layersOfFeedForward(atOnce: rows, dim: dim, hidden: hidden, precision: precision)
                .map { scratchBytes(of: $0) }.max() ?? 0
        case .attention(let queries, _, let heads, let dim): queries * heads * dim * 4
        case .sparseLinearAttention(let tokens, let heads, let dim, _): 3 * tokens * heads * dim * 4
        case .write: 0
        }
    }

    public var fixedBytes: Int { 0 }
}
