import Checkpoints
import Sampling
import Tensors
import Wan

/// What one file's layers take of the backend's memory, from names, shapes and types alone.
struct NetworkFootprint {
    /// Bytes outside the blocks.
    var fixed = 0
    /// Bytes of one block, as it is held and as an image of it lies in one piece.
    var block = 0
    var blockImage = 0
    var blockCount = 0
    /// Most bytes beside, while a layer is made.
    var making = 0

    var total: Int { fixed + blockCount * block }

    /// - Parameters:
    ///   - tensors: under Wan's names.
    ///   - precision: of the linear layers of the blocks.
    init(
        _ tensors: [(name: String, shape: [Int], dtype: DType)], precision: LinearPrecision, except: Set<String> = [],
        on accounting: any MemoryAccounting
    ) {
        let names = Set(tensors.map(\.name))
        var first: (held: Int, count: Int) = (0, 0)
        for (name, shape, dtype) in tensors where !except.contains(name) {
            guard let layer = Self.layer(name, shape, dtype, precision, names) else { continue }
            let footprint = accounting.footprint(of: layer)
            making = max(making, footprint.making)
            let parts = name.split(separator: ".", maxSplits: 2)
            // One table of all blocks' modulations is held outside them.
            guard parts.first == "blocks", parts.count == 3, let index = Int(parts[1]), parts[2] != "modulation" else {
                fixed += footprint.held
                continue
            }
            blockCount = max(blockCount, index + 1)
            if index == 0 { first = (first.held + footprint.held, first.count + (shape.count > 1 ? 4 : 1)) }
        }
        block = first.held
        blockImage = first.held + first.count * ParameterLayout.alignment
    }

    /// The layer a tensor belongs to as its weight; nil for biases and scales, which count with it.
    private static func layer(
        _ name: String, _ shape: [Int], _ dtype: DType, _ precision: LinearPrecision, _ names: Set<String>
    ) -> LayerShape? {
        let count = shape.reduce(1, *)
        let isTable = name.hasSuffix("modulation") || name.hasSuffix("pos_embedding.embedding.weight")
        guard let dot = name.lastIndex(of: "."), !isTable else { return .table(count: count, stored: dtype) }
        let (module, leaf) = (String(name[..<dot]), name[name.index(after: dot)...])
        let isMatrix = names.contains(module + ".weight") || names.contains(module + ".int8_weight")
        if leaf == "scale" { return nil }
        if leaf == "bias", isMatrix, !module.hasSuffix("norm3") { return nil }
        guard shape.count > 1, leaf == "weight" || leaf == "int8_weight" else {
            return .table(count: count, stored: dtype)
        }
        let hasBias = names.contains(module + ".bias")
        if shape.count > 3, shape.dropFirst(2).contains(where: { $0 != 1 }), !name.hasPrefix("patch_embedding") {
            return .convolution(shape: shape, stored: dtype, hasBias: hasBias)
        }
        let isChosen = name.hasPrefix("blocks.") && !module.hasSuffix("proj_l")
        return .linear(
            output: shape[0], input: count / max(shape[0], 1), stored: dtype, hasBias: hasBias,
            precision: isChosen ? precision : .stored)
    }
}

extension ModelWeights {
    func footprint(
        precision: LinearPrecision = .stored, except: Set<String> = [], on accounting: any MemoryAccounting
    ) -> NetworkFootprint {
        NetworkFootprint(
            tensors.map { ($0.key, $0.value.shape, $0.value.dtype) }, precision: precision, except: except,
            on: accounting)
    }
}

/// What the stages of one job need, as functions of what can be chosen.
struct MemoryNeeds {
    let textEncoder: TextEncoderConfiguration
    let text: NetworkFootprint
    let vae: VAEConfiguration
    let vaeBytes: NetworkFootprint
    let transformer: TransformerConfiguration
    /// In the order of their passes.
    let networks: [(file: String, size: NetworkFootprint)]
    /// Bytes of the backend itself.
    let fixedBytes: Int
    /// Whether the backend's memory is apart from the host's.
    let isApart: Bool
    let frameArea: Int
    let textWorkspace: Int
    let stepWorkspace: Int
    private let geometry: LatentGeometry
    private let takesImage: Bool
    private let backend: any Backend

    init(
        _ request: GenerationRequest, geometry: LatentGeometry, tokenCount: Int, textEncoder: TextEncoderConfiguration,
        text: NetworkFootprint, vae: VAEConfiguration, vaeBytes: NetworkFootprint,
        transformer: TransformerConfiguration, networks: [(file: String, size: NetworkFootprint)],
        backend: any Backend
    ) {
        (self.geometry, self.backend) = (geometry, backend)
        (self.textEncoder, self.text, self.vae, self.vaeBytes) = (textEncoder, text, vae, vaeBytes)
        (self.transformer, self.networks) = (transformer, networks)
        isApart = backend is any StreamingBackend
        fixedBytes = backend.fixedBytes
        takesImage = request.mode == .i2v
        frameArea = request.size.area
        let host = isApart ? 0 : geometry.latentCount * 8 * 3
        let type = backend.activationType
        let tokens = geometry.tokenCount
        textWorkspace =
            TextEncoder.workspaceBytes(configuration: textEncoder, tokenCount: tokenCount, activation: type)
            + backend.scratchBytes(of: .write(count: tokenCount * textEncoder.dim))
        let precision = request.linearPrecision
        let (dim, hidden) = (transformer.dim, transformer.feedForwardDim)
        let rows = Transformer.feedForwardRows(configuration: transformer, tokens: tokens, activation: type)
        let heads = transformer.headCount
        let attention: OperationShape =
            switch request.attentionKind {
            case .dense: .attention(queries: tokens, keys: tokens, heads: heads, dim: transformer.headDim)
            case .sparseLinear(let options):
                .sparseLinearAttention(tokens: tokens, heads: heads, dim: transformer.headDim, options: options)
            }
        let operations: [OperationShape] = [
            .linear(rows: tokens, input: dim, output: dim, precision: precision, isGated: true),
            .feedForward(rows: tokens, atOnce: rows, dim: dim, hidden: hidden, precision: precision), attention,
            .write(count: tokens * transformer.patchInputSize),
        ]
        stepWorkspace =
            Transformer.workspaceBytes(
                configuration: transformer, geometry: geometry, textRows: tokenCount, activation: type)
            + transformer.textLength * dim * type.byteCount
            + (operations.map { backend.scratchBytes(of: $0) }.max() ?? 0)
            + (isApart ? 0 : host + tokens * transformer.patchInputSize * 4)
    }

    /// Bytes of decoding, and of encoding a picture, beside the VAE's weights.
    /// - Parameter pixels: computed at once at full size.
    func frameWorkspaces(pixels: Int) -> (decode: Int, image: Int?) {
        let type = backend.activationType
        let middle = OperationShape.attention(
            queries: geometry.latentArea, keys: geometry.latentArea, heads: 1, dim: vae.decoderDims[0])
        let attention = backend.scratchBytes(of: middle)
        let host = isApart ? 0 : geometry.latentCount * 8 * 3
        let decode =
            VAE.decoderBytes(configuration: vae, geometry: geometry, pixelBudget: pixels, activation: type)
            + max(attention, backend.scratchBytes(of: .write(count: geometry.latentArea * vae.latentChannels)))
        guard takesImage else { return (decode + host, nil) }
        let frames = vae.framesPerLatent * geometry.size.area * 3
        let image =
            VAE.encoderBytes(configuration: vae, geometry: geometry, pixelBudget: pixels, activation: type)
            + max(attention, backend.scratchBytes(of: .write(count: frames)))
        return (decode + host, image + 3 * host + (isApart ? 0 : geometry.size.area * 12))
    }
}
