import Tensors

/// Some blocks on the backend at a time, for passes through networks whose blocks wait in host memory.
///
/// All passes are known from the start. Whenever a block is used, the copies of those that come next begin beside its
/// work, as far as places are free: the place whose block is needed last, or never again, is taken first. With as many
/// places as a network has blocks the next network moves in while the last pass of the present one goes on.
final class BlockWindow<Block: StreamedBlock> {
    private struct Place {
        var content: Use?
        var block: Block?
        var memory: Tensor?
        var load: (any PendingLoad)?
    }

    /// A block of a network.
    private struct Use: Hashable {
        let source: ObjectIdentifier
        let layer: Int
    }

    private let backend: any Backend
    private let streaming: (any StreamingBackend)?
    private let sources: [ObjectIdentifier: BlockSource<Block>]
    private let uses: [Use]
    private var places: [Place]
    private var position = 0
    /// Copies begun so far.
    private(set) var loads = 0

    /// - Parameters:
    ///   - size: blocks on the backend at once; at least 2, where there are so many.
    ///   - passes: the networks in the order of their passes.
    init(_ passes: [BlockSource<Block>], size: Int, backend: any Backend) throws {
        self.backend = backend
        streaming = backend as? any StreamingBackend
        sources = Dictionary(passes.map { (ObjectIdentifier($0), $0) }, uniquingKeysWith: { first, _ in first })
        uses = passes.flatMap { source in
            (0..<source.count).map { Use(source: ObjectIdentifier(source), layer: $0) }
        }
        places = []
        let most = sources.values.reduce(0) { $0 + $1.count }
        for _ in 0..<max(1, min(max(size, 2), most)) {
            var place = Place()
            if streaming != nil {
                let bytes = sources.values.map(\.slotBytes).max() ?? 0
                place.memory = try backend.allocate([bytes], .u8)
            }
            places.append(place)
        }
    }

    deinit {
        // What still is on its way must arrive before its memory is given back.
        for place in places { if let load = place.load { try? streaming?.finishLoading(load) } }
    }

    /// Block `layer` of `source`, ready for the work that is queued next; valid until the next call.
    func use(_ layer: Int, of source: BlockSource<Block>) throws -> Block {
        let wanted = Use(source: ObjectIdentifier(source), layer: layer)
        guard let now = uses[position...].firstIndex(of: wanted) else {
            preconditionFailure("block \(layer) of a pass that was not announced")
        }
        position = now
        if place(of: wanted) == nil { try load(wanted, at: now) }
        guard let index = place(of: wanted) else { preconditionFailure("block \(layer) was not loaded") }
        if let load = places[index].load {
            try streaming?.finishLoading(load)
            places[index].load = nil
        }
        guard let block = places[index].block else { preconditionFailure("a place without its block") }
        if streaming != nil { try loadAhead(sparing: index) }
        position = now + 1
        return block
    }

    private func place(of use: Use) -> Int? { places.firstIndex { $0.content == use } }

    /// Begins copies of the next blocks in their order, for as long as there is a place that is needed later than they are.
    private func loadAhead(sparing current: Int) throws {
        var seen: Set<Use> = []
        for next in uses.indices.dropFirst(position + 1) where seen.insert(uses[next]).inserted {
            guard place(of: uses[next]) == nil else { continue }
            guard try load(uses[next], at: next, sparing: current) else { return }
        }
    }

    /// Puts a block in the place whose content is needed last, if that is after `time`.
    @discardableResult
    private func load(_ use: Use, at time: Int, sparing current: Int? = nil) throws -> Bool {
        let candidates = places.indices.filter { $0 != current }
        let needed = candidates.map { nextUse(of: places[$0].content, from: position) }
        guard let latest = needed.max(), latest > time, let choice = needed.firstIndex(of: latest) else { return false }
        let index = candidates[choice]
        guard let source = sources[use.source] else { preconditionFailure("an unknown network") }
        loads += 1
        switch source.storage {
        case .resident(let blocks): places[index].block = blocks[use.layer]
        case .images(let images, let layout, let form):
            guard let streaming, let memory = places[index].memory else {
                preconditionFailure("images without a place for them")
            }
            if let earlier = places[index].load { try streaming.finishLoading(earlier) }
            places[index].load = try streaming.beginLoading(images[use.layer], into: memory)
            places[index].block = form.replacing(layout.tensors(in: memory))
        case .remade(let make, _):
            places[index].block = nil
            places[index].block = try make(use.layer)
        }
        places[index].content = use
        return true
    }

    /// When a block is used next; beyond all uses if never.
    private func nextUse(of content: Use?, from time: Int) -> Int {
        guard let content else { return .max }
        return uses[time...].firstIndex(of: content) ?? .max - 1
    }
}

extension BlockSource {
    /// Bytes of one place for its blocks.
    var slotBytes: Int { if case .images(_, let layout, _) = storage { layout.byteCount } else { 0 } }
}
