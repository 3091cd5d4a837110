/// A whole run from noise to latents: which times, which sampler, which expert when.
public struct Denoising: Sendable, Hashable {
    public let schedule: Schedule
    public let sampler: SamplerKind
    /// One a step.
    public let experts: [Expert]

    /// - Parameter boundary: the time below which the low-noise expert takes over; nil for a model of one network.
    public init(schedule: Schedule, sampler: SamplerKind, boundary: Double?) {
        self.schedule = schedule
        self.sampler = sampler
        experts =
            boundary.map { schedule.experts(boundary: $0) }
            ?? Array(repeating: .highNoise, count: schedule.stepCount)
    }

    /// What a step did.
    public struct Step: Sendable {
        public let index: Int
        public let velocity: [Float]
        /// Fresh noise of the step; empty for `.ode`.
        public let noise: [Float]
        /// The state after it.
        public let state: [Double]
    }

    /// Runs all steps.
    ///
    /// - Parameters:
    ///   - noise: draws the first latents and then, for `.sde`, as many values every step.
    ///   - count: values of the latents.
    ///   - given: a frame that is known and held.
    ///   - network: the velocity for a step's latents.
    /// - Returns: the final latents.
    public func run(
        noise: inout CUDANoise, count: Int, given: GivenFrame? = nil,
        network: (_ step: Int, _ latents: [Float]) throws -> [Float],
        observe: ((Step) throws -> Void)? = nil
    ) throws -> [Float] {
        var state = Sampler(schedule: schedule, kind: sampler, noise: noise.draw(count))
        for step in 0..<schedule.stepCount {
            // Drawn while the network runs.
            let ahead = sampler == .sde ? NoiseAhead(noise, count: count) : nil
            let velocity = try network(step, state.networkInput)
            var fresh: [Float] = []
            if let ahead { (fresh, noise) = ahead.finish() }
            state.advance(velocity: velocity, noise: fresh, given: given)
            try observe?(Step(index: step, velocity: velocity, noise: fresh, state: state.state))
        }
        return state.networkInput
    }
}
