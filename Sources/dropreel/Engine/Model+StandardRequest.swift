import Generation
import Media

extension Model {
    /// A request for the model's standard film; for image to video with a grey picture.
    func standardRequest(_ mode: GenerationMode) throws -> GenerationRequest {
        var request = try request(prompt: "", mode: mode)
        if mode == .i2v {
            let (width, height) = (request.size.width, request.size.height)
            request.image = RGBImage(
                width: width, height: height, pixels: [UInt8](repeating: 128, count: width * height * 3))
        }
        return request
    }
}
