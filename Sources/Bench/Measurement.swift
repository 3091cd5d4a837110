/// What one thing took.
public struct Measurement: Codable, Sendable {
    /// "linear", "attention", "stage".
    public var section: String
    /// "linear f32", "attention SLA 10 %".
    public var name: String
    /// "3024 x 384 -> 1536".
    public var shape: String
    /// Wall-clock seconds, the median of the repetitions.
    public var seconds: Double
    /// Seconds of processor time of one repetition, all threads together.
    public var processorSeconds: Double
    /// Floating-point (or int8) operations, a multiplication and an addition being two; nil where that says nothing.
    public var operations: Double?
    /// Share of the sgemm rate that the same run measured; nil without operations.
    public var shareOfSgemm: Double?
    /// The same, operations per processor second against operations per processor second: other programs on the
    /// machine do not count, idle threads neither.
    public var processorShareOfSgemm: Double?

    public init(
        section: String, name: String, shape: String, seconds: Double, processorSeconds: Double,
        operations: Double? = nil
    ) {
        self.section = section
        self.name = name
        self.shape = shape
        self.seconds = seconds
        self.processorSeconds = processorSeconds
        self.operations = operations
    }

    /// 10^9 operations a second.
    public var gigaflops: Double? { operations.map { $0 / seconds / 1e9 } }
}
