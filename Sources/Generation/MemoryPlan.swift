import Tensors
import Wan

/// How a job gets along with the memory there is: what stays on the device, what waits in host memory, how much of a film
/// is decoded at once. Plans for the same precision give the same film.
public struct MemoryPlan: Sendable, Hashable, Codable {
    /// Where the networks are while steps run, from the fastest way to the smallest.
    public enum Networks: String, Sendable, Hashable, Codable {
        /// All models of the job stay on the device.
        case resident
        /// Both experts wait in host memory; the second moves in block by block while the first makes its last step.
        case exchanged
        /// Blocks come from host memory while others compute.
        case streamed
        /// What is not needed now may go; a network is whole on the device while its steps run.
        case inTurns
    }

    public var networks: Networks
    /// Blocks of a network on the device at once, and how many it has; nil where all of them are.
    public var windowBlocks: Int?
    public var blockCount: Int
    /// Where the text encoder's blocks are between prompts.
    public var textEncoder: BlockPlace
    /// What the linear layers of the networks' blocks are asked to compute in.
    public var linearPrecision: String
    /// Pixels that the VAE computes at once at full size.
    public var framePixels: Int
    /// Most bytes on the device at any moment, as the formula has it.
    public var bytes: Int
    /// Bytes that were there to be used; nil where nobody said.
    public var limitBytes: Int?
    /// Bytes of host memory for what waits there.
    public var hostBytes: Int
    /// True if a larger plan ran out of memory in this job.
    public var followsOutOfMemory: Bool?

    var place: BlockPlace { windowBlocks == nil ? .device : .host }

    /// One line for the log.
    public var text: String {
        let how =
            switch networks {
            case .resident:
                textEncoder == .host ? "networks and VAE stay on the device" : "everything stays on the device"
            case .inTurns: "models take turns on the device"
            case .exchanged: "both networks in host memory, one at a time on the device"
            case .streamed: "\(windowBlocks ?? 0) of \(blockCount) blocks on the device, the others in host memory"
            }
        let text = textEncoder == .host ? ", text encoder from host memory" : ""
        let limit = limitBytes.map { " of \(MemoryEstimate.text($0))" } ?? ""
        let again = followsOutOfMemory == true ? ", after a larger plan ran out of memory" : ""
        return "\(how)\(text), linear layers \(linearPrecision), \(MemoryEstimate.text(bytes))\(limit)\(again)"
    }
}

extension MemoryPlan {
    /// The fastest plan that fits.
    ///
    /// - Parameters:
    ///   - limit: bytes of the device; nil for no limit.
    ///   - hostLimit: bytes of host memory for what waits there; nil for no limit.
    /// - Returns: nil if not even the smallest fits.
    static func choose(
        _ needs: MemoryNeeds, precision: LinearPrecision, limit: Int?, hostLimit: Int?
    ) -> MemoryPlan? {
        let ladder = Ladder(needs: needs, precision: precision, limit: limit, hostLimit: hostLimit)
        return ladder.first
    }

    /// The plan with the fewest bytes on the device.
    static func smallest(_ needs: MemoryNeeds, precision: LinearPrecision, hostLimit: Int?) -> MemoryPlan? {
        Ladder(needs: needs, precision: precision, limit: nil, hostLimit: hostLimit).smallest
    }

    /// The next plan after one that ran out of memory all the same: a quarter smaller, or as small as there is.
    func next(_ needs: MemoryNeeds, precision: LinearPrecision, hostLimit: Int?) -> MemoryPlan? {
        let smaller =
            Self.choose(needs, precision: precision, limit: bytes / 4 * 3, hostLimit: hostLimit)
            ?? Self.smallest(needs, precision: precision, hostLimit: hostLimit)
        guard var plan = smaller, plan.bytes < bytes || plan.networks != networks else { return nil }
        plan.limitBytes = limitBytes
        plan.followsOutOfMemory = true
        return plan
    }
}

/// The plans of one job, from the fastest to the smallest.
private struct Ladder {
    let needs: MemoryNeeds
    let precision: LinearPrecision
    let limit: Int?
    let hostLimit: Int?

    private var count: Int { needs.networks.first?.size.blockCount ?? 0 }
    private var steps: Int { needs.stepWorkspace }

    /// Pixels at once: some frames where the device is a GPU, whose kernels want large pieces, else what suits caches.
    private var framePixels: [Int] {
        needs.isApart ? [4 * needs.frameArea, needs.frameArea] : [VAE.standardPixelBudget, 1]
    }

    var first: MemoryPlan? {
        if let plan = plan(.resident, window: nil) { return plan }
        for (networks, window) in modes { if let plan = plan(networks, window: window) { return plan } }
        return nil
    }

    var smallest: MemoryPlan? {
        let all = modes.compactMap { plan($0, window: $1, prefersSmall: true) }
        return all.min { $0.bytes < $1.bytes }
    }

    private var modes: [(MemoryPlan.Networks, Int?)] {
        var streamed: [(MemoryPlan.Networks, Int?)] = []
        let largest: Int
        if let limit {
            let making = needs.networks.map(\.size.making).max() ?? 0
            let always = needs.networks.reduce(0) { $0 + $1.size.fixed + (needs.isApart ? 0 : $1.size.block) }
            let room = limit - needs.fixedBytes - max(steps, making) - always
            largest = min(count - 1, room / max(1, needs.networks.first?.size.blockImage ?? 1))
        } else {
            largest = 2
        }
        if count > 2, largest >= 2 { streamed.append((.streamed, largest)) }
        // Blocks come to a GPU beside its work, a network that is read again does not; on a CPU blocks are made again.
        guard needs.isApart else { return [(.inTurns, nil)] + streamed }
        return (needs.networks.count > 1 ? [(.exchanged, count)] : []) + streamed + [(.inTurns, nil)]
    }

    /// A plan with these networks, if its stages fit.
    private func plan(
        _ networks: MemoryPlan.Networks, window: Int?, prefersSmall: Bool = false
    ) -> MemoryPlan? {
        let files = needs.networks.map(\.size)
        let making = files.map(\.making).max() ?? 0
        let held: Int
        switch networks {
        case .resident: held = files.reduce(0) { $0 + $1.total }
        case .inTurns: held = files.map(\.total).max() ?? 0
        case .exchanged, .streamed:
            held =
                files.reduce(0) { $0 + $1.fixed + (needs.isApart ? 0 : $1.block) }
                + (window ?? 0) * (files.map(\.blockImage).max() ?? 0)
        }
        let networkImages = window == nil || !needs.isApart ? 0 : files.reduce(0) { $0 + $1.blockCount * $1.blockImage }
        let step = held + max(steps, making)
        for pixels in prefersSmall ? framePixels.reversed() : framePixels {
            let frames = needs.frameWorkspaces(pixels: pixels)
            let frameStage = max(frames.decode, frames.image ?? 0, needs.vaeBytes.making)
            for place in textPlaces(
                networks, beside: max(step, needs.vaeBytes.total + frameStage), prefersSmall: prefersSmall)
            {
                let textHeld = textBytes(place)
                let text = textHeld + max(needs.textWorkspace, needs.text.making)
                let images =
                    networkImages
                    + (place == .host && needs.isApart ? needs.text.blockCount * needs.text.blockImage : 0)
                if let hostLimit, images > hostLimit { continue }
                let bytes: Int
                if networks == .resident {
                    bytes =
                        needs.fixedBytes + held + textHeld + needs.vaeBytes.total
                        + max(steps, making, needs.textWorkspace, needs.text.making, frameStage)
                } else {
                    bytes = needs.fixedBytes + max(step, text, needs.vaeBytes.total + frameStage)
                }
                if let limit, bytes > limit { continue }
                return MemoryPlan(
                    networks: networks, windowBlocks: window, blockCount: count, textEncoder: place,
                    linearPrecision: precision.rawValue, framePixels: pixels, bytes: bytes, limitBytes: limit,
                    hostBytes: images)
            }
        }
        return nil
    }

    /// Bytes of the text encoder while it encodes.
    private func textBytes(_ place: BlockPlace) -> Int {
        guard place == .host else { return needs.text.total }
        return needs.text.fixed + (needs.isApart ? 0 : needs.text.block)
            + min(TextEncoder.windowSize, needs.text.blockCount) * needs.text.blockImage
    }

    /// On a GPU the text encoder waits in host memory if it cannot stay beside what follows; else it would be read from its
    /// file for every prompt.
    private func textPlaces(
        _ networks: MemoryPlan.Networks, beside other: Int, prefersSmall: Bool
    ) -> [BlockPlace] {
        if networks == .resident { return needs.isApart ? [.device, .host] : [.device] }
        if prefersSmall { return [.host, .device] }
        let stays = limit.map { needs.fixedBytes + needs.text.total + other <= $0 } ?? true
        return stays || !needs.isApart ? [.device, .host] : [.host, .device]
    }
}
