import Sampling
import Tensors

/// The Wan2.1 video autoencoder: pixels <-> latents, 8x8 in space and 4 in time, causal in time.
///
/// Source: Wan2.1 wan/modules/vae.py `WanVAE_`.
public final class VAE: Sendable {
    public let configuration: VAEConfiguration
    public let backend: any Backend
    let encoder: EncoderWeights
    let decoder: DecoderWeights

    /// Pixels a level computes at once if nothing else is asked: enough to keep two cores' caches busy.
    public static let standardPixelBudget = 1 << 17

    /// - Throws: `WanError` for tensors that are missing or of another shape; `BackendError`.
    public init(_ reader: WeightReader, configuration: VAEConfiguration) throws {
        self.configuration = configuration
        backend = reader.backend
        encoder = try EncoderWeights(reader, configuration)
        decoder = try DecoderWeights(reader, configuration)
        try backend.check()
    }

    public var weightBytes: Int { encoder.byteCount + decoder.byteCount }

    /// Allocates what decoding latents of `geometry` needs.
    ///
    /// - Parameters:
    ///   - chunkFrames: latent frames taken at once.
    ///   - pixelBudget: pixels a level computes at once (at least one frame).
    ///   - observe: called with module path and output after every module; an error it throws ends the decoding.
    public func makeDecoder(
        _ geometry: LatentGeometry, chunkFrames: Int = 1, pixelBudget: Int = VAE.standardPixelBudget,
        observe: ((String, Tensor) throws -> Void)? = nil
    ) throws -> VAEDecoder {
        try VAEDecoder(self, geometry, chunkFrames: chunkFrames, pixelBudget: pixelBudget, observe: observe)
    }

    /// Allocates what encoding frames of `geometry` needs.
    ///
    /// - Parameters:
    ///   - chunkLatents: latent frames made at once.
    ///   - skipsRepetition: if false, every level runs for every chunk (to prove that skipping changes nothing).
    public func makeEncoder(
        _ geometry: LatentGeometry, chunkLatents: Int = 1, pixelBudget: Int = VAE.standardPixelBudget,
        skipsRepetition: Bool = true
    ) throws -> VAEEncoder {
        try VAEEncoder(
            self, geometry, chunkLatents: chunkLatents, pixelBudget: pixelBudget, skipsRepetition: skipsRepetition)
    }

    /// Bytes decoding writes to, apart from a backend's own needs; does not depend on the number of frames.
    public static func decoderBytes(
        configuration: VAEConfiguration, geometry: LatentGeometry, chunkFrames: Int = 1,
        pixelBudget: Int = VAE.standardPixelBudget, activation: DType
    ) -> Int {
        FramePlan(
            decoder: configuration, height: geometry.latentHeight, width: geometry.latentWidth,
            chunkFrames: min(chunkFrames, geometry.latentFrames), pixelBudget: pixelBudget
        ).byteCount(activation: activation)
    }

    /// Bytes encoding writes to, apart from a backend's own needs; does not depend on the number of frames.
    public static func encoderBytes(
        configuration: VAEConfiguration, geometry: LatentGeometry, chunkLatents: Int = 1,
        pixelBudget: Int = VAE.standardPixelBudget, activation: DType
    ) -> Int {
        FramePlan(
            encoder: configuration, height: geometry.size.height, width: geometry.size.width,
            chunkFrames: configuration.framesPerLatent * min(chunkLatents, max(1, geometry.latentFrames - 1)),
            pixelBudget: pixelBudget
        ).byteCount(activation: activation)
    }
}
