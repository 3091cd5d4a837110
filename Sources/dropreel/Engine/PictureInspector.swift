import Foundation
import Media
import WatchFolder

/// Decodes a picture on trial, to tell whether it is whole.
struct PictureInspector: ImageInspecting {
    func inspect(_ snapshot: URL) -> ImageVerdict {
        do {
            let image = try ImageDecoder.decode(path: snapshot.path)
            return .complete(width: image.width, height: image.height)
        } catch let error as MediaError where error.code == .incomplete {
            return .incomplete
        } catch let error as MediaError where error.code != .io {
            return .broken(ServiceError(.badInput, error.message, hint: error.hint))
        } catch {
            return .broken(ServiceError.wrapping(FilmEngine.serviceError(error)))
        }
    }
}

/// Reads the `dropreel` key of a film dropped back.
struct FilmReader: FilmMetadataReading {
    func dropreelMetadata(of film: URL) throws -> String? {
        try VideoMetadata.read(path: film.path).dropreel
    }
}
