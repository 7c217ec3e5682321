/* iou.h - how much two boxes overlap, in the four ways of the reference, and how that changes with the first box.
 *
 * Boxes are corners x1, y1, x2, y2 in any unit. In double: this is the plain version that others are compared with.
 *
 * Source: bbox_iou() of utils/general.py and the gradients that torch derives from it (at ties of minimum and maximum half
 * to each side). One thing is mended: two equal boxes have CIoU 1, where the reference's float32 comes to 0 / 0. */
#ifndef LOSS_IOU_H
#define LOSS_IOU_H

typedef enum iou_kind {
    IOU_PLAIN,    /* intersection / union */
    IOU_GENERAL,  /* GIoU: less the part of the enclosing box that neither covers */
    IOU_DISTANCE, /* DIoU: less the squared distance of the centres over that of the enclosing box's corners */
    IOU_COMPLETE, /* CIoU: DIoU less a term for the aspect ratios, whose factor alpha counts as a constant */
} iou_kind;

/* `gradient`, of the result by `box`, may be NULL. */
double iou_of(iou_kind kind, const double box[4], const double other[4], double gradient[4]);

/* Centre x, centre y, width, height to corners, and a gradient by corners back to one by those. */
void iou_corners(const double centre[4], double corners[4]);
void iou_gradient_by_centre(const double by_corners[4], double by_centre[4]);

#endif
