import ArgumentParser
import Media

/// What `serve` and its workers start for each picture; of no use by hand.
struct DecodePicture: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode-picture", abstract: "Decode one picture from standard input (started by serve).",
        shouldDisplay: false)

    @Argument(help: "What to do, and within which limits.")
    var order: String

    func run() throws {
        guard let order = ImageDecodingOrder(order) else {
            throw fail(.usage, "this is no order of the same version", hint: "pictures are decoded by serve")
        }
        ImageDecodingChild.run(order)
    }
}
