/// Bytes a job needs, known before it starts.
public struct MemoryEstimate: Sendable, Hashable, Codable {
    /// Weights on the device, by file.
    public var weights: [String: Int]
    /// Activations and buffers of each stage.
    public var workspaces: [String: Int]
    /// The most any moment needs with the smallest plan.
    public var leastBytes: Int
    /// The most any moment needs if everything once loaded stays.
    public var mostBytes: Int

    static let hint = "lower the resolution or use quantised weights"

    /// "41.2 GiB", "300 MiB".
    public static func text(_ bytes: Int) -> String {
        let mebibytes = Double(bytes) / Double(1 << 20)
        guard mebibytes >= 1024 else { return "\(Int(mebibytes.rounded(.up))) MiB" }
        let tenths = Int((mebibytes / 1024 * 10).rounded(.up))
        return tenths % 10 == 0 || tenths >= 100 ? "\((tenths + 9) / 10) GiB" : "\(tenths / 10).\(tenths % 10) GiB"
    }

    /// What is said where not even the smallest plan fits.
    func refusal(limit: Int) -> GenerationError {
        GenerationError(
            .memory, "needs \(Self.text(leastBytes)), \(Self.text(max(limit, 0))) are free", hint: Self.hint)
    }
}

extension MemoryEstimate {
    /// - Parameters:
    ///   - smallest: the plan with the fewest bytes.
    ///   - largest: the plan that keeps everything.
    init(_ needs: MemoryNeeds, textEncoder: String, vae: String, smallest: MemoryPlan, largest: MemoryPlan) {
        let frames = needs.frameWorkspaces(pixels: largest.framePixels)
        weights = Dictionary(needs.networks.map { ($0.file, $0.size.total) }) { first, _ in first }
        weights[textEncoder] = needs.text.total
        weights[vae] = needs.vaeBytes.total
        workspaces = ["text": needs.textWorkspace, "step": needs.stepWorkspace, "decode": frames.decode]
        workspaces["image"] = frames.image
        (leastBytes, mostBytes) = (min(smallest.bytes, largest.bytes), largest.bytes)
    }
}
