import Sampling
import TestSupport
import Testing

struct SamplingTests {
    @Test(arguments: [0, 5, 50]) func stepsOutsideOneToFourAreRefused(steps: Int) {
        let error = #expect(throws: SamplingError.self) { try Schedule(steps: steps, sigmaMax: 80) }
        #expect(error?.code == "steps")
        if steps > 4 { #expect(error?.message.contains("gain nothing") == true) }
    }

    @Test(arguments: [0, -1, Double.infinity, .nan]) func sigmaMustBePositive(sigma: Double) {
        #expect(throws: SamplingError.self) { try Schedule(steps: 4, sigmaMax: sigma) }
    }

    @Test func timestepsAreRoundedToTheirEightBits() throws {
        let schedule = try Schedule(steps: 4, sigmaMax: 200)
        #expect((0..<4).map { schedule.roundedTimestep($0) } == [996, 932, 852, 608])
        #expect(roundToBFloat16(Float(bitPattern: 0x3F80_8000)) == Float(bitPattern: 0x3F80_0000))  // tie to even
        #expect(roundToBFloat16(Float(bitPattern: 0x3F81_8000)) == Float(bitPattern: 0x3F82_0000))
        #expect(roundToBFloat16(-Float(bitPattern: 0x3F80_8001)) == -Float(bitPattern: 0x3F81_0000))
    }

    @Test func boundarySwitchesOnceAndForGood() throws {
        let schedule = try Schedule(steps: 4, sigmaMax: 80)
        #expect(schedule.experts(boundary: 0.9) == [.highNoise, .highNoise, .lowNoise, .lowNoise])
        #expect(schedule.experts(boundary: 0) == Array(repeating: .highNoise, count: 4))
        #expect(schedule.experts(boundary: 1) == Array(repeating: .lowNoise, count: 4))
    }

    /// Noise of one call does not depend on the GPU as long as every thread draws at most one value.
    @Test func smallNoiseIsTheSameOnEveryGPU() {
        var (a, b) = (
            CUDANoise(seed: 9),
            CUDANoise(seed: 9, device: NoiseDevice(multiprocessors: 7, threadsPerMultiprocessor: 1024))
        )
        #expect(a.draw(5000) == b.draw(5000))
        #expect(a.offset == b.offset)
        #expect(a.draw(8000) != b.draw(8000))
    }

    /// A draw of many values is made in pieces beside each other; what comes out is that of a draw in one piece.
    @Test func largeNoiseBeginsAsSmallerNoiseDoes() {
        let device = NoiseDevice(multiprocessors: 7, threadsPerMultiprocessor: 1024)
        var (a, b) = (CUDANoise(seed: 9, device: device), CUDANoise(seed: 9, device: device))
        let (small, large) = (a.draw(40_000), b.draw(500_001))
        #expect(large.count == 500_001 && Array(large.prefix(40_000)) == small)
        #expect(large.allSatisfy { $0.isFinite && $0 != 0 })
    }

    @Test func odeDrawsNoNoiseAfterTheFirst() throws {
        let schedule = try Schedule(steps: 3, sigmaMax: 80)
        for (kind, draws) in [(SamplerKind.ode, 1), (.sde, 4)] {
            var noise = CUDANoise(seed: 1)
            let denoising = Denoising(schedule: schedule, sampler: kind, boundary: nil)
            let latents = try denoising.run(noise: &noise, count: 64) { _, x in x.map { $0 * 0.5 } }
            #expect(noise.offset == UInt64(4 * draws))
            #expect(latents.count == 64 && latents.allSatisfy(\.isFinite))
        }
    }

    /// With the velocity that leads straight to a target, both samplers end on it.
    @Test(arguments: SamplerKind.allCases) func straightVelocityReachesItsTarget(kind: SamplerKind) throws {
        let schedule = try Schedule(steps: 4, sigmaMax: 80)
        var random = SplitMix(3)
        let target = random.values(100)
        var noise = CUDANoise(seed: 5)
        let result = try Denoising(schedule: schedule, sampler: kind, boundary: nil).run(noise: &noise, count: 100) {
            step, x in
            zip(x, target).map { ($0 - $1) / Float(schedule.times[step]) }
        }
        for (a, b) in zip(result, target) { #expect(abs(a - b) < 1e-5) }
    }

    /// The frame that is given ends as it is; the others go where their own velocities lead, as without it.
    @Test(arguments: SamplerKind.allCases) func aGivenFrameStays(kind: SamplerKind) throws {
        let geometry = try LatentGeometry(frameCount: 9, size: FrameSize(width: 48, height: 32))
        let schedule = try Schedule(steps: 3, sigmaMax: 200)
        var random = SplitMix(4)
        let picture = random.values(geometry.latentCount)
        let given = GivenFrame(firstOf: picture, geometry: geometry)
        func run(_ given: GivenFrame?) throws -> (result: [Float], seen: [[Float]]) {
            var noise = CUDANoise(seed: 6)
            var seen: [[Float]] = []
            let result = try Denoising(schedule: schedule, sampler: kind, boundary: nil).run(
                noise: &noise, count: geometry.latentCount, given: given
            ) { _, latents in
                seen.append(latents)
                return latents.map { $0 * 0.5 + 0.25 }
            }
            return (result, seen)
        }
        let (free, held) = (try run(nil), try run(given))
        let area = geometry.latentArea
        for index in free.result.indices {
            let isGiven = index / area % geometry.latentFrames == 0
            #expect(abs(held.result[index] - (isGiven ? picture[index] : free.result[index])) <= 1e-6)
            #expect(held.seen[0][index] == free.seen[0][index])
            guard isGiven else { continue }
            // What the next step sees is the picture with that step's noise.
            let time = schedule.times[1]
            let noised = (Double(held.seen[1][index]) - (1 - time) * Double(picture[index])) / time
            #expect(abs(noised) < 7)
            if kind == .ode {
                let start = Double(held.seen[0][index]) / schedule.times[0]
                let first = Double(picture[index]) * (1 - time / schedule.times[0])
                #expect(abs(Double(held.seen[1][index]) - first - time * start) < 1e-4)
            }
        }
    }

    @Test func geometryRefusesOddFramesAndSizes() throws {
        #expect(throws: SamplingError.self) {
            try LatentGeometry(frameCount: 80, size: FrameSize(width: 64, height: 48))
        }
        #expect(throws: SamplingError.self) {
            try LatentGeometry(frameCount: 81, size: FrameSize(width: 64, height: 40))
        }
        #expect(throws: SamplingError.self) {
            try LatentGeometry(frameCount: -3, size: FrameSize(width: 64, height: 48))
        }
        let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: 832, height: 480))
        #expect(geometry.tokenCount == 32760 && geometry.latentCount == 2_096_640)
        #expect(LatentGeometry(latentFrames: 21, latentHeight: 60, latentWidth: 104) == geometry)
    }

    @Test func thinPicturesKeepASide() {
        let base = FrameSize(width: 832, height: 480)
        #expect(adaptiveSize(image: FrameSize(width: 16000, height: 1), base: base).height == 16)
        #expect(
            adaptiveSize(image: FrameSize(width: 1920, height: 1080), base: base) == FrameSize(width: 848, height: 480))
    }

    @Test func unknownResolutionNamesTheKnownOnes() {
        let error = #expect(throws: SamplingError.self) {
            try ResolutionTable.wan.size(resolution: "4k", aspectRatio: "16:9")
        }
        #expect(error?.hint.contains("480p, 720p") == true)
        #expect(throws: SamplingError.self) { try ResolutionTable.wan.size(resolution: "480p", aspectRatio: "2:1") }
    }
}
