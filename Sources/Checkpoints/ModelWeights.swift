import Tensors

/// A checkpoint recognised as one kind of model: its sizes, read from the tensors, and the tensors under Wan's names.
///
/// Every tensor of the layout is there with its shape and a usable type, and nothing else is.
public struct ModelWeights<Layout: Sendable>: Sendable {
    /// The file, or the index of its shards.
    public let path: String
    public let layout: Layout
    /// Wan's name -> tensor. `HostTensor.name` is the name in the file.
    public let tensors: [String: HostTensor]
    public let metadata: [String: String]
}

/// A tensor that a layout calls for.
struct ExpectedTensor {
    enum Kind {
        /// Any of f32, f16, bf16.
        case float
        /// A `weight`, or `int8_weight` with its `scale`; the name is the layer's.
        case linear
    }

    let name: String
    let shape: [Int]
    let kind: Kind

    static let floatTypes: [DType] = [.f32, .f16, .bf16]
    /// Rows and columns of one quantisation block.
    static let block = 128

    static func float(_ name: String, _ shape: [Int]) -> ExpectedTensor {
        ExpectedTensor(name: name, shape: shape, kind: .float)
    }

    /// A linear layer `[out, in]` that may be quantised, and its bias.
    static func linear(_ name: String, _ input: Int, _ output: Int, bias: Bool = true)
        -> [ExpectedTensor]
    {
        [ExpectedTensor(name: name, shape: [output, input], kind: .linear)]
            + (bias ? [.float(name + ".bias", [output])] : [])
    }
}

/// Tensors by canonical name, with errors that name the file.
struct TensorTable {
    let path: String
    private(set) var tensors: [String: HostTensor] = [:]

    /// - Parameter rename: the canonical name of a name in the file; nil leaves the tensor out.
    init(_ checkpoint: Checkpoint, rename: (String) -> String?) throws(CheckpointError) {
        path = checkpoint.path
        for name in checkpoint.names {
            guard let canonical = rename(name) else { continue }
            guard let tensor = checkpoint.tensor(name) else { continue }
            if let other = tensors.updateValue(tensor, forKey: canonical) {
                throw .malformed(
                    path, "tensors \(quoted(other.name)) and \(quoted(name)) are both \(quoted(canonical))")
            }
        }
    }

    func contains(_ name: String) -> Bool { tensors[name] != nil }

    mutating func replace(_ name: String, by tensor: HostTensor) { tensors[name] = tensor }

    /// Size `axis` of a tensor that must have `rank` dimensions and not be empty.
    func size(_ name: String, axis: Int, rank: Int) throws(CheckpointError) -> Int {
        guard let tensor = tensors[name] else { throw .missing(name, shape: nil, file: path) }
        guard tensor.shape.count == rank, tensor.elementCount > 0 else {
            throw misfit(tensor, name, "expected \(rank) dimensions, none empty, found \(tensor.shape)")
        }
        return tensor.shape[axis]
    }

    func misfit(
        _ tensor: HostTensor?, _ name: String, _ what: String,
        code: CheckpointError.Code = .shapeMismatch
    ) -> CheckpointError {
        CheckpointError(
            code: code, message: "\(path): tensor \(label(name, tensor)): \(what)",
            hint: CheckpointError.misfitHint)
    }

    private func label(_ name: String, _ tensor: HostTensor?) -> String {
        guard let tensor, tensor.name != name else { return quoted(name) }
        return "\(quoted(tensor.name)) (as \(quoted(name)))"
    }

    /// How many layers `prefix.0`, `prefix.1`, ... there are.
    func layerCount(_ prefix: String) throws(CheckpointError) -> Int {
        var layers: Set<Int> = []
        for (name, tensor) in tensors where name.hasPrefix(prefix + ".") {
            let digits = name.dropFirst(prefix.count + 1).prefix { $0 != "." }
            guard let layer = Int(digits), String(layer) == digits, (0..<1024).contains(layer) else {
                throw misfit(
                    tensor, name, "expected a layer number of at most 1023", code: .unexpectedTensor)
            }
            layers.insert(layer)
        }
        guard let last = layers.max() else { throw .missing(prefix + ".0", shape: nil, file: path) }
        for layer in 0..<last where !layers.contains(layer) {
            throw CheckpointError(
                code: .missingTensor,
                message:
                    "\(path): layer \(quoted("\(prefix).\(layer)")) is missing, while \(quoted("\(prefix).\(last)")) is there",
                hint: CheckpointError.misfitHint)
        }
        return last + 1
    }

    /// Checks that exactly the expected tensors are there.
    /// - Returns: whether any linear layer is quantised.
    func check(_ expected: [ExpectedTensor]) throws(CheckpointError) -> Bool {
        var known: Set<String> = []
        var isQuantized = false
        func check(_ name: String, _ shape: [Int], _ types: [DType]) throws(CheckpointError) {
            guard let tensor = tensors[name] else { throw .missing(name, shape: shape, file: path) }
            guard tensor.shape == shape else {
                throw misfit(tensor, name, "expected shape \(shape), found \(tensor.shape)")
            }
            guard types.contains(tensor.dtype) else {
                let expected = types.map(\.rawValue).joined(separator: " or ")
                throw misfit(
                    tensor, name, "expected \(expected), found \(tensor.dtype.rawValue)", code: .typeMismatch)
            }
            known.insert(name)
        }
        for item in expected {
            switch item.kind {
            case .float: try check(item.name, item.shape, ExpectedTensor.floatTypes)
            case .linear where contains(item.name + ".int8_weight"):
                isQuantized = true
                try check(item.name + ".int8_weight", item.shape, [.i8])
                let blocks = item.shape.map { ($0 + ExpectedTensor.block - 1) / ExpectedTensor.block }
                try check(item.name + ".scale", blocks, [.f32])
            case .linear: try check(item.name + ".weight", item.shape, ExpectedTensor.floatTypes)
            }
        }
        let extra = tensors.keys.filter { !known.contains($0) }.sorted()
        if let first = extra.first {
            throw CheckpointError(
                code: .unexpectedTensor,
                message:
                    "\(path): tensor \(label(first, tensors[first])) belongs to no known part of the model"
                    + (extra.count > 1 ? ", nor do \(extra.count - 1) others" : ""),
                hint: "the file is of another kind of model, or of a variant this program does not run")
        }
        return isQuantized
    }
}
