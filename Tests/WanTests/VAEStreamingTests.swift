import CPUBackend
import Checkpoints
import Sampling
import Tensors
import TestSupport
import Testing
import TinyModels
import Wan

/// Chunks, passes and skipped repetition change nothing; memory does not grow with the clip.
struct VAEStreamingTests {
    private let vae: VAE
    private let counting = CountingBackend()

    init() throws {
        let weights = try canonicalVAE(
            Checkpoint.open(goldenFolder.appending(path: "vae/vae_weights.safetensors").path))
        vae = try VAE(weights, backend: counting)
    }

    private func latents(_ geometry: LatentGeometry, seed: UInt64 = 1) -> [Float] {
        var random = SplitMix(seed)
        return random.values(geometry.latentCount, scale: 1.5)
    }

    private func decode(
        _ latents: [Float], _ geometry: LatentGeometry, chunkFrames: Int = 1, pixelBudget: Int = .max
    ) throws -> [Float] {
        var video: [Float] = []
        let decoder = try vae.makeDecoder(geometry, chunkFrames: chunkFrames, pixelBudget: pixelBudget)
        try decoder.decode(latents) { video += counting.download($0) }
        return video
    }

    private func distance(_ a: [Float], _ b: [Float]) -> Float {
        guard a.count == b.count else { return .infinity }
        return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
    }

    @Test(arguments: [(2, Int.max), (3, 400), (7, 100), (1, 1)])
    func chunksAndPassesGiveTheSameVideo(chunkFrames: Int, pixelBudget: Int) throws {
        let geometry = LatentGeometry(latentFrames: 6, latentHeight: 3, latentWidth: 5)
        let latents = latents(geometry)
        let whole = try decode(latents, geometry)
        #expect(whole.count == geometry.frameCount * geometry.size.area * 3)
        let other = try decode(latents, geometry, chunkFrames: chunkFrames, pixelBudget: pixelBudget)
        #expect(distance(whole, other) < 2e-5)
    }

    @Test func firstFramesDoNotDependOnLaterOnes() throws {
        let long = LatentGeometry(latentFrames: 5, latentHeight: 3, latentWidth: 4)
        let short = LatentGeometry(latentFrames: 3, latentHeight: 3, latentWidth: 4)
        let latents = latents(long)
        let frame = long.latentArea
        let prefix = (0..<16).flatMap { channel in latents[channel * 5 * frame..<(channel * 5 + 3) * frame] }
        let (a, b) = (try decode(latents, long), try decode(prefix, short))
        #expect(Array(a[..<b.count]) == b)
    }

    @Test func decodingTakesTheSameMemoryForAnyLength() throws {
        let needs = try [3, 9, 21].map { frames in
            let geometry = LatentGeometry(latentFrames: frames, latentHeight: 4, latentWidth: 6)
            let latents = latents(geometry)
            let bytes = try counting.bytes {
                let decoder = try vae.makeDecoder(geometry)
                try decoder.decode(latents) { _ in }
            }
            let formula = VAE.decoderBytes(configuration: vae.configuration, geometry: geometry, activation: .f32)
            #expect(bytes <= formula && Double(bytes) > 0.95 * Double(formula))
            return bytes
        }
        #expect(Set(needs).count == 1)
    }

    @Test func encodingTakesTheSameMemoryForAnyLength() throws {
        let needs = try [9, 33, 81].map { frames in
            let geometry = try LatentGeometry(frameCount: frames, size: FrameSize(width: 48, height: 32))
            var random = SplitMix(2)
            let image = random.values(3 * geometry.size.area)
            let bytes = try counting.bytes { _ = try vae.makeEncoder(geometry).encode(image) }
            let formula = VAE.encoderBytes(configuration: vae.configuration, geometry: geometry, activation: .f32)
            #expect(bytes <= formula && Double(bytes) > 0.95 * Double(formula))
            return bytes
        }
        #expect(Set(needs).count == 1)
    }

    /// Behind an image every layer computes until it stands still; from then on nothing is computed, and nothing changes.
    @Test(arguments: [(1, 1, Int.max), (1, 1, 1), (1, 3, 500), (2, 2, 700), (6, 1, .max), (33, 1, .max)])
    func skippedRepetitionIsExact(given: Int, chunkLatents: Int, pixelBudget: Int) throws {
        let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: 32, height: 48))
        var random = SplitMix(4)
        let image = random.values(3 * given * geometry.size.area)
        let skipping = try vae.makeEncoder(geometry, chunkLatents: chunkLatents, pixelBudget: pixelBudget)
        let plain = try vae.makeEncoder(
            geometry, chunkLatents: chunkLatents, pixelBudget: pixelBudget, skipsRepetition: false)
        let (a, b) = (try skipping.encode(image), try plain.encode(image))
        #expect(a == b)
        #expect(plain.levelsSkipped == 0 && skipping.levelsSkipped + skipping.levelsRun == plain.levelsRun)
        // Frames of the levels: 81, 81, 41 and 21, of which 5, 4, 4 and 9 convolutions see every one.
        #expect(plain.convolvedFrames == 81 * 5 + 81 * 4 + 41 * 4 + 21 * 9)
        let needed = distinctFrames(given: given)
        #expect(skipping.convolvedFrames >= needed && skipping.convolvedFrames < plain.convolvedFrames)
        // What stands still is computed once more for every chunk in which a layer after it still moves.
        if chunkLatents == 1, pixelBudget == .max { #expect(skipping.convolvedFrames < needed * 4 / 3) }
    }

    /// How many frames of all layers differ from the one before, if the first `given` of 81 do: each convolution sees two
    /// more, and half of the time makes half as many.
    private func distinctFrames(given: Int) -> Int {
        var (steady, frames, sum) = (given, 81, 0)
        for (layers, halves) in [(5, false), (4, true), (4, true), (9, false)] {
            for _ in 0..<layers {
                steady += 2
                sum += min(frames, steady + 1)
            }
            if halves { (steady, frames) = ((steady + 1) / 2 + 1, (frames + 1) / 2) }
        }
        return sum
    }

    @Test func encodingChunksGiveTheSameLatents() throws {
        let geometry = try LatentGeometry(frameCount: 29, size: FrameSize(width: 32, height: 32))
        var random = SplitMix(6)
        let video = random.values(3 * 29 * geometry.size.area)
        let one = try vae.makeEncoder(geometry).encode(video)
        let other = try vae.makeEncoder(geometry, chunkLatents: 3, pixelBudget: 500).encode(video)
        #expect(distance(one, other) < 2e-5)
    }

    @Test func checkBetweenChunksEndsTheEncoding() throws {
        struct Stop: Error {}
        let geometry = try LatentGeometry(frameCount: 17, size: FrameSize(width: 32, height: 32))
        var calls = 0
        #expect(throws: Stop.self) {
            _ = try vae.makeEncoder(geometry).encode([Float](repeating: 0, count: 3 * geometry.size.area)) {
                calls += 1
                if calls == 3 { throw Stop() }
            }
        }
        #expect(calls == 3)
    }
}
