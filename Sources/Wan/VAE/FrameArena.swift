import Tensors

/// The memory one encoding or decoding works in: three interchangeable slots, and histories handed out in order.
final class FrameArena {
    let backend: any Backend
    private let slots: [Tensor]
    private let attention: Tensor
    private var histories: [FrameHistory]
    private var nextHistory = 0
    /// Frames that convolutions with a history were computed for.
    var convolvedFrames = 0

    init(_ plan: FramePlan, _ backend: any Backend) throws {
        self.backend = backend
        slots = try (0..<3).map { _ in try backend.allocate([plan.slotElements], backend.activationType) }
        attention = try backend.allocate([plan.attentionElements], backend.activationType)
        histories = try plan.histories.map { FrameHistory(try backend.allocate($0, backend.activationType)) }
    }

    /// A view of slot `index` under `shape`.
    func slot(_ index: Int, _ shape: [Int]) -> Tensor {
        slots[index].rows(0..<shape.reduce(1, *)).reshaped(shape)
    }

    /// The slots other than `used`.
    func others(than used: Int?) -> [Int] { (0..<3).filter { $0 != used } }

    /// The histories of the next modules, in the order the plan lists them.
    func takeHistories(_ count: Int) -> [FrameHistory] {
        defer { nextHistory += count }
        return Array(histories[nextHistory..<nextHistory + count])
    }

    /// q, k and v of one frame, `[pixels, 1, channels]`.
    func attentionInputs(pixels: Int, channels: Int) -> (query: Tensor, key: Tensor, value: Tensor) {
        let size = pixels * channels
        func part(_ index: Int) -> Tensor {
            attention.rows(index * size..<(index + 1) * size).reshaped([pixels, 1, channels])
        }
        return (part(0), part(1), part(2))
    }
}

/// Frames in work: where they lie, which slot of the arena that is (nil if none), and which of them repeat others.
///
/// The tensor has room for all of them; only the span's distinct ones are there.
struct Frames {
    var tensor: Tensor
    var slot: Int?
    var span: FrameSpan

    /// - Parameter span: nil where every frame is its own.
    init(tensor: Tensor, slot: Int?, span: FrameSpan? = nil) {
        (self.tensor, self.slot) = (tensor, slot)
        self.span = span ?? FrameSpan(count: tensor.shape[0])
    }

    /// Those that are there.
    var distinct: Tensor { tensor.rows(0..<span.distinct) }

    /// Frames `rows` of these, in no slot.
    func part(_ rows: Range<Int>) -> Frames {
        let first = min(rows.lowerBound, span.distinct - 1)
        return Frames(tensor: tensor.rows(first..<first + rows.count), slot: nil, span: span.part(rows))
    }
}

extension FrameArena {
    /// A causal convolution of `x`, its history brought up to date. The distinct frames of `output` `[count, H, W, C]` are
    /// written; of `x` and `residual` as many must be there, or be copies to be made (`repeatLast`).
    ///
    /// - Returns: which frames of the output repeat others.
    @discardableResult func convolve(
        _ x: Tensor, _ span: FrameSpan, _ layer: any Convolution, _ history: FrameHistory, residual: Tensor? = nil,
        into output: Tensor
    ) -> FrameSpan {
        let result = span.convolved()
        let rows = 0..<result.distinct
        repeatLast(x, of: span.distinct, upTo: rows.count)
        backend.convolve(
            x.rows(rows), layer, history: history.tensor, residual: residual?.rows(rows), into: output.rows(rows))
        // Two repeated frames in front of a repeated one: the history holds them.
        if span.steady > span.start - 2 { history.append(x.rows(rows), backend) }
        convolvedFrames += rows.count
        return result
    }

    /// Frames `count...` of `x`, as far as `end`, become copies of the one before them.
    func repeatLast(_ x: Tensor, of count: Int, upTo end: Int) {
        for frame in count..<max(count, end) {
            backend.copy(x.rows(count - 1..<count), into: x.rows(frame..<frame + 1))
        }
    }

    /// `x + convolution2(silu(norm(convolution1(silu(norm(x))))))`; the result lies in another slot than `x`.
    ///
    /// Source: Wan2.1 wan/modules/vae.py `ResidualBlock`.
    func residual(_ x: Frames, _ block: VAEResidualBlock, _ histories: ArraySlice<FrameHistory>) -> Frames {
        let free = others(than: x.slot)
        let pixels = Array(x.tensor.shape.dropLast())
        let output = pixels + [block.outputChannels]
        let (normed, hidden) = (slot(free[0], x.tensor.shape), slot(free[1], output))
        let (first, last) = (histories[histories.startIndex], histories[histories.startIndex + 1])
        let given = 0..<x.span.distinct
        backend.channelNorm(x.distinct, gamma: block.norm1, activation: .silu, into: normed.rows(given))
        let between = convolve(normed, x.span, block.convolution1, first, into: hidden)
        let normedAgain = slot(free[0], output)
        let known = 0..<between.distinct
        backend.channelNorm(hidden.rows(known), gamma: block.norm2, activation: .silu, into: normedAgain.rows(known))
        var skip = x.tensor
        if let shortcut = block.shortcut {
            precondition(x.slot == nil, "a shortcut needs a third free slot")
            skip = slot(free[2], output)
            let count = given.count * pixels[1] * pixels[2]
            backend.linear(
                x.distinct.reshaped([count, block.inputChannels]), shortcut,
                into: skip.rows(given).reshaped([count, block.outputChannels]), .none)
        }
        repeatLast(skip, of: given.count, upTo: between.convolved().distinct)
        let span = convolve(normedAgain, between, block.convolution2, last, residual: skip, into: hidden)
        return Frames(tensor: hidden, slot: free[1], span: span)
    }

    /// `x += proj(attention(norm(x)))`, frame by frame.
    ///
    /// Source: Wan2.1 wan/modules/vae.py `AttentionBlock`.
    func attend(_ x: Frames, _ weights: VAEAttention) {
        let frames = x.distinct
        let shape = frames.shape
        let (pixels, channels) = (shape[1] * shape[2], shape[3])
        let normed = slot(others(than: x.slot)[0], shape)
        let (query, key, value) = attentionInputs(pixels: pixels, channels: channels)
        backend.channelNorm(frames, gamma: weights.norm, activation: nil, into: normed)
        for frame in 0..<shape[0] {
            let rows = normed.row(frame).reshaped([pixels, channels])
            backend.linear(rows, weights.query, into: query.reshaped([pixels, channels]), .none)
            backend.linear(rows, weights.key, into: key.reshaped([pixels, channels]), .none)
            backend.linear(rows, weights.value, into: value.reshaped([pixels, channels]), .none)
            backend.attention(
                q: query, k: key, v: value, scale: 1 / Float(channels).squareRoot(), bias: nil,
                into: rows.reshaped([pixels, 1, channels]))
            backend.linear(rows, weights.output, into: frames.row(frame).reshaped([pixels, channels]), .accumulate)
        }
    }

    /// The middle of encoder and decoder.
    func middle(
        _ x: Frames, _ weights: VAEMiddle, _ histories: [FrameHistory], name: String,
        observe: ((String, Tensor) throws -> Void)?
    ) throws -> Frames {
        var x = residual(x, weights.first, histories[0..<2])
        try observe?(name + ".0", x.tensor)
        attend(x, weights.attention)
        try observe?(name + ".1", x.tensor)
        x = residual(x, weights.last, histories[2..<4])
        try observe?(name + ".2", x.tensor)
        return x
    }
}
