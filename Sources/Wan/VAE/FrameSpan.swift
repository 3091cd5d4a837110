/// Some frames in a row of a stream of them, and from where on the stream repeats itself.
struct FrameSpan {
    /// Number of the first of them in the stream.
    var start = 0
    var count: Int
    /// Number of the first frame of the stream that all later ones equal, bit for bit.
    var steady = FrameSpan.never

    static let never = Int.max / 2

    /// How many of the frames are to be computed: those after them equal the last of these.
    var distinct: Int { min(count, max(1, steady - start + 1)) }

    /// Whether all of them equal the frame in front of them.
    var isRepetition: Bool { steady < start }

    func part(_ rows: Range<Int>) -> FrameSpan {
        FrameSpan(start: start + rows.lowerBound, count: rows.count, steady: steady)
    }

    /// What causal convolutions over three frames make of it, `times` one after another: each looks two frames back.
    func convolved(times: Int = 1) -> FrameSpan {
        FrameSpan(start: start, count: count, steady: steady + 2 * times)
    }

    /// What halving time makes of it: frame 0 alone becomes frame 0, and frame n is made of 2n - 2 to 2n.
    var halved: FrameSpan {
        FrameSpan(start: (start + 1) / 2, count: (count + 1) / 2, steady: (steady + 1) / 2 + 1)
    }
}
