import Tensors

/// Where a network's blocks are between passes.
public enum BlockPlace: String, Sendable, Hashable, Codable {
    /// On the backend.
    case device
    /// In host memory; a pass has some of them on the backend at a time.
    case host
}

/// The parameters of one of a network's equal blocks.
protocol StreamedBlock: Sendable {
    var byteCount: Int { get }
    /// All device memory, in an order of its own.
    var tensors: [Tensor] { get }
    /// The same block over other memory: as many tensors of the same shapes and types.
    func replacing(_ tensors: [Tensor]) -> Self
}

/// Tensors that are handed out again in the order of a block's `tensors`.
struct TensorQueue {
    private var rest: ArraySlice<Tensor>

    init(_ tensors: [Tensor]) { rest = tensors[...] }

    mutating func next() -> Tensor { rest.removeFirst() }

    mutating func layer(_ layer: any Linear) -> any Linear {
        let count = layer.tensors.count
        defer { rest = rest.dropFirst(count) }
        return layer.replacing(Array(rest.prefix(count)))
    }
}

/// All blocks of one network.
///
/// On a backend whose memory is the host's, blocks that wait are not kept: they are made again from the checkpoint.
final class BlockSource<Block: StreamedBlock>: Sendable {
    enum Storage: Sendable {
        case resident([Block])
        /// One image a block, and a block without memory.
        case images([any ParameterImage], layout: ParameterLayout, form: Block)
        case remade(@Sendable (Int) throws -> Block, form: Block)
    }

    let count: Int
    let storage: Storage

    /// - Parameters:
    ///   - make: block i from the checkpoint, on the backend.
    ///   - onBlock: called after each block.
    init(
        count: Int, _ place: BlockPlace, on backend: any Backend, make: @escaping @Sendable (Int) throws -> Block,
        onBlock: (Int) throws -> Void
    ) throws {
        precondition(count > 0, "a network has blocks")
        self.count = count
        switch (place, backend as? any StreamingBackend) {
        case (.device, _):
            storage = .resident(
                try (0..<count).map {
                    let block = try make($0)
                    try onBlock($0)
                    return block
                })
        case (.host, let backend?):
            var (images, form): ([any ParameterImage], (layout: ParameterLayout, block: Block)?) = ([], nil)
            for layer in 0..<count {
                let block = try make(layer)
                let layout = ParameterLayout(block.tensors)
                if let form, form.layout != layout {
                    throw WanError(
                        code: "weights", message: "block \(layer) is stored otherwise than those before it",
                        hint: "only networks of equal blocks can be streamed: use a larger GPU or another file")
                }
                images.append(try backend.save(block.tensors))
                form = (layout, block.replacing(layout.placeholders))
                try onBlock(layer)
            }
            guard let form else { preconditionFailure("a network has blocks") }
            storage = .images(images, layout: form.layout, form: form.block)
        case (.host, nil):
            storage = .remade(make, form: try make(0))
        }
    }

    /// A block to ask about sizes and types; its memory may be missing.
    var form: Block {
        switch storage {
        case .resident(let blocks): blocks[0]
        case .images(_, _, let form), .remade(_, let form): form
        }
    }

    var isResident: Bool { if case .resident = storage { true } else { false } }

    /// Bytes on the backend between passes.
    var byteCount: Int {
        switch storage {
        case .resident(let blocks): blocks.reduce(0) { $0 + $1.byteCount }
        case .images: 0
        case .remade(_, let form): form.byteCount
        }
    }

    /// Bytes of host memory between passes.
    var hostByteCount: Int {
        if case .images(let images, _, _) = storage { images.reduce(0) { $0 + $1.byteCount } } else { 0 }
    }
}
