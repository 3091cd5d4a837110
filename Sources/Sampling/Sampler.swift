/// How a step gets from one time to the next.
public enum SamplerKind: String, Sendable, Hashable, Codable, CaseIterable {
    /// Jumps to the estimate of the clean latents and adds fresh noise.
    case sde
    /// Follows the velocity; no further noise.
    case ode
}

/// The state of one run: latents in float64, moved by the network's velocities.
///
/// Source: TurboDiffusion inference/wan2.1_t2v_infer.py and wan2.2_i2v_infer.py.
public struct Sampler: Sendable {
    public let schedule: Schedule
    public let kind: SamplerKind
    /// Latents `[16, F, H, W]`, in any one order that noise and velocities share.
    public private(set) var state: [Double]
    /// Steps done.
    public private(set) var step = 0

    /// Starts from `noise * t[0]`.
    public init(schedule: Schedule, kind: SamplerKind, noise: [Float]) {
        self.schedule = schedule
        self.kind = kind
        let first = schedule.times[0]
        state = noise.map { Double($0) * first }
    }

    public var isFinished: Bool { step == schedule.stepCount }

    /// The state as the network (which rounds it further to its own type) is given it.
    public var networkInput: [Float] { state.map { Float($0) } }

    /// Moves the state by one step.
    ///
    /// - Parameters:
    ///   - velocity: the network's output for `networkInput` at `schedule.roundedTimestep(step)`.
    ///   - noise: fresh noise for `.sde` (also on the last step, where it counts for nothing); not read for `.ode`.
    ///   - given: a frame whose clean latents are known: there the velocity is the one that leads to them.
    ///
    /// SDE: `x = (1 - t') (x - t v) + t' noise`; the product `t' noise` is taken in float32, as upstream's is.
    /// ODE: `x = x - (t - t') v`.
    public mutating func advance(velocity: [Float], noise: [Float] = [], given: GivenFrame? = nil) {
        precondition(!isFinished, "the run has no further step")
        precondition(velocity.count == state.count, "velocity of \(velocity.count) values for \(state.count)")
        let (time, next) = (schedule.times[step], schedule.times[step + 1])
        let before = given.map { given in given.positions.map { state[$0] } }
        switch kind {
        case .sde:
            precondition(noise.count == state.count, "noise of \(noise.count) values for \(state.count)")
            for i in state.indices {
                let clean = state[i] - time * Double(velocity[i])
                state[i] = (1 - next) * clean + Double(Float(next) * noise[i])
            }
        case .ode:
            for i in state.indices { state[i] -= (time - next) * Double(velocity[i]) }
        }
        if let given, let before {
            for ((position, clean), old) in zip(zip(given.positions, given.latents), before) {
                let clean = Double(clean)
                state[position] =
                    switch kind {
                    case .sde: (1 - next) * clean + Double(Float(next) * noise[position])
                    case .ode: clean + next / time * (old - clean)
                    }
            }
        }
        step += 1
    }
}
